"""Connections on which nothing comes, or only a part of a head: when they end, with which words, and what is counted."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from proxy import http_ending
from tests.proxy.conftest import Stand, Start
from tests.proxy.wire import answer, post, read_message, until

GET = b"GET /v1/x HTTP/1.1\r\nhost: p\r\n\r\n"
HEAD_S = 0.3
WITHIN = {"proxy__limits__head_s": HEAD_S}


async def prompt(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be an upstream that answers at once."""
    while True:
        await read_message(reader)
        writer.write(answer(b"ok"))


async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be an upstream that thinks for longer than a head may take."""
    while True:
        await read_message(reader)
        await asyncio.sleep(2.5 * HEAD_S)
        writer.write(answer(b"ok"))


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Return what comes up to the connection's end."""
    return await asyncio.wait_for(reader.read(), 5)


async def timed_out(reader: asyncio.StreamReader) -> None:
    """Assert a 408 in OpenAI's shape that ends the connection."""
    got = await asyncio.wait_for(read_message(reader), 5)
    assert got.line.startswith(b"HTTP/1.1 408 ")
    assert json.loads(got.body)["error"]["code"] == "head_timeout"
    assert (got.values(b"drift-error"), got.values(b"connection")) == ([b"head_timeout"], [b"close"])
    assert await ended(reader) == b""


def of_the_edge(running: Stand) -> dict[str, int]:
    """Return what was counted of faults and of connections closed."""
    return {name: count for name, count in running.counters().items() if name.startswith(("fault", "closed"))}


@pytest.mark.parametrize("said", [b"", b"\r\n"], ids=["nothing", "empty_line"])
async def test_a_client_that_says_nothing_is_hung_up_on(stand: Start, said: bytes) -> None:
    """Without a word, because it asked for nothing; not before its time."""
    async with stand(prompt, **WITHIN) as running:
        began = time.monotonic()
        reader, writer = await running.connect()
        writer.write(said)
        assert await ended(reader) == b""
        assert time.monotonic() - began > 0.8 * HEAD_S
        writer.close()
        assert of_the_edge(running) == {"closed.silent": 1}


async def test_half_a_head_is_told_so(stand: Start) -> None:
    """A byte now and then does not put it off."""
    async with stand(prompt, **WITHIN) as running:
        reader, writer = await running.connect()
        began = time.monotonic()
        telling = asyncio.create_task(timed_out(reader))
        for byte in b"GET /v1/x HTTP/1.1\r\nhost: p\r\nx: " + b"y" * 100:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)
            if telling.done():
                break
        await telling
        assert 0.8 * HEAD_S < time.monotonic() - began < 4 * HEAD_S
        writer.close()
        assert of_the_edge(running) == {"fault.head_timeout": 1}
        assert "received" not in running.counters()


async def test_a_later_heads_time_begins_with_it(stand: Start) -> None:
    """However long the connection was idle before; a head that comes whole in time is served."""
    async with stand(prompt, **WITHIN) as running:
        reader, writer = await running.connect()
        for first, rest in ((GET, b""), (GET[:9], GET[9:])):
            writer.write(first)
            await asyncio.sleep(0.7 * HEAD_S)
            writer.write(rest)
            assert (await asyncio.wait_for(read_message(reader), 2)).body == b"ok"
        began = time.monotonic()
        writer.write(GET[:9])
        await timed_out(reader)
        assert time.monotonic() - began > 0.8 * HEAD_S
        writer.close()
        assert of_the_edge(running) == {"fault.head_timeout": 1}


async def test_an_answers_time_is_not_a_heads(stand: Start) -> None:
    """What an upstream takes is its own, also where half of the next head has come meanwhile."""
    async with stand(slow, **WITHIN) as running:
        reader, writer = await running.connect()
        writer.write(GET + GET[:9])
        assert (await asyncio.wait_for(read_message(reader), 5)).body == b"ok"
        writer.write(GET[9:])
        assert (await asyncio.wait_for(read_message(reader), 5)).body == b"ok"
        writer.close()
        assert of_the_edge(running) == {}


async def test_an_idle_connection_is_kept_for_longer(stand: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has shown that it is a client's; in the end it is closed, without a word."""
    monkeypatch.setattr(http_ending, "KEEP_ALIVE_S", 3 * HEAD_S)
    async with stand(prompt, **WITHIN) as running:
        reader, writer = await running.connect()
        writer.write(GET)
        assert (await asyncio.wait_for(read_message(reader), 2)).body == b"ok"
        began = time.monotonic()
        assert await ended(reader) == b""
        assert time.monotonic() - began > 2.5 * HEAD_S
        writer.close()
        assert of_the_edge(running) == {"closed.idle": 1}


async def test_a_body_that_was_answered_early_may_end(stand: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """While parts of it come, the connection is not idle; when none come any more, it is."""
    monkeypatch.setattr(http_ending, "KEEP_ALIVE_S", HEAD_S)

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer(b"ok"))

    async with stand(early) as running:
        reader, writer = await running.connect()
        body = b"x" * 30
        writer.write(post(body)[: 1 - len(body)])
        assert (await asyncio.wait_for(read_message(reader), 2)).body == b"ok"
        for _ in body[1:]:
            writer.write(b"x")
            await asyncio.sleep(HEAD_S / 8)
        writer.write(GET)
        assert (await asyncio.wait_for(read_message(reader), 2)).body == b"ok"
        assert await ended(reader) == b""
        writer.close()


async def test_a_tunnel_is_nobodys_to_time(stand: Start) -> None:
    """What has become a tunnel is looked at no more, though it is silent for longer."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        while data := await reader.read(100):
            writer.write(data)

    async with stand(echo, **WITHIN) as running:
        reader, writer = await running.connect()
        writer.write(GET[:-2] + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        await asyncio.sleep(2.5 * HEAD_S)
        writer.write(b"hello")
        assert await asyncio.wait_for(reader.readexactly(5), 2) == b"hello"
        writer.close()
        await until(lambda: running.counters().get("ended") == 1)
        assert of_the_edge(running) == {}
