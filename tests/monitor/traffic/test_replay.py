"""Every recorded prompt is sent once and its end counted once."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from monitor.contract import Exchange
from monitor.traffic.openai_shapes import MODEL, Answer
from monitor.traffic.replay import Plan, Sent, replay
from monitor.traffic.standin import StandIn


def exchanges(count: int) -> list[Exchange]:
    """Make recorded exchanges with different prompts."""
    return [
        Exchange(id=str(i), time=0.0, prompt=f"p{i}", response="r", model="m" if i % 2 else "")
        for i in range(count)
    ]


async def play(count: int, known: int, **plan: float) -> tuple[Sent, Counter[str], list[int]]:
    """Replay against a stand-in that knows the first prompts; return what it heard and what was reported."""
    heard: Counter[str] = Counter()
    reported: list[int] = []

    def answer(prompt: str) -> Answer | None:
        heard[prompt] += 1
        return Answer("r") if int(prompt[1:]) < known else None

    server = StandIn(answer)
    base_url = await server.start("127.0.0.1", 0)
    sent = await replay(exchanges(count), Plan(base_url, **plan), lambda now: reported.append(now.requests))
    await server.stop()
    return sent, heard, reported


async def test_each_prompt_is_sent_once_and_counted_by_its_status():
    """As fast as it goes, many at once, streams among them."""
    sent, heard, reported = await play(300, 200, concurrency=16, stream_every=3)
    assert heard == Counter({f"p{i}": 1 for i in range(300)})
    assert (sent.requests, sent.answered, sent.statuses, sent.failures) == (
        300,
        300,
        {200: 200, 404: 100},
        {},
    )
    assert sent.refused == 100
    assert sent.per_second > 0
    assert reported[-1] == 300
    assert reported == sorted(reported)


async def test_a_rate_is_kept_to():
    """The last of 21 requests at 50 a second is due after 0.4 s."""
    sent, _, _ = await play(21, 21, rate=50.0, concurrency=4)
    assert sent.requests == 21
    assert 0.4 <= sent.seconds < 5.0


async def test_a_server_that_hangs_up_is_a_failure_with_a_name():
    """Not an answer, not an exception."""

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        sent = await replay(exchanges(5), Plan(f"http://127.0.0.1:{port}/v1"), lambda _now: None)
    assert (sent.requests, sent.answered) == (5, 0)
    assert sum(sent.failures.values()) == 5


@pytest.mark.parametrize(("index", "model"), [(0, MODEL), (1, "m")])
async def test_the_recorded_model_is_asked_for(index: int, model: str):
    """Or the stand-in's, where the recording names none."""
    bodies = []

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        bodies.append(await reader.readexactly(length))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\ndrift-status: ok\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(keep, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        plan = Plan(f"http://127.0.0.1:{port}/v1/")
        sent = await replay(exchanges(2)[index : index + 1], plan, lambda _now: None)
    assert f'"model":"{model}"'.encode() in bodies[0]
    assert sent.last_status == "ok"
