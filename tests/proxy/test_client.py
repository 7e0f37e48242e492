"""The forwarder under a plain ASGI server, one that cannot tell when a client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from monitor.contract.config import load_config
from proxy.client import Client
from proxy.faults import UpstreamFault
from proxy.forward import Forwarder, Site
from proxy.mirror import Clock, Mirror
from proxy.routing import arms, build_router
from proxy.scoreboard import Scoreboard
from proxy.transport import Outgoing, Reply
from proxy.transport.fake import FakeTransport
from proxy.verdicts import VerdictBoard

Message = MutableMapping[str, Any]
BODY: Message = {"type": "http.request", "body": b"{}", "more_body": False}
GONE: Message = {"type": "http.disconnect"}


def scope(path: bytes = b"/v1/chat/completions", *headers: tuple[bytes, bytes]) -> Message:
    """Make a request's scope, without any extension."""
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "raw_path": path,
        "query_string": b"",
        "headers": list(headers),
    }


def script(messages: Sequence[Message], released: asyncio.Event) -> Callable[[], Awaitable[Message]]:
    """Make a `receive` that gives the messages, the last one only after the release."""
    waiting = list(messages)

    async def receive() -> Message:
        if len(waiting) == 1:
            await released.wait()
        return waiting.pop(0) if waiting else GONE

    return receive


class Slow(FakeTransport):
    """A transport that never comes back, and says when it was cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.cancelled = asyncio.Event()

    async def open(self, request: Outgoing) -> Reply:
        """Hang."""
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return await super().open(request)


@pytest.fixture
def board(tmp_path: Path) -> Scoreboard:
    """Make a scoreboard."""
    return Scoreboard(tmp_path, "test")


def forwarder(transport: FakeTransport, board: Scoreboard) -> Forwarder:
    """Put a forwarder together."""
    config = load_config(None)
    router = build_router(config)
    mirror = Mirror(config.mirror, board, b"salt", Clock())
    return Forwarder(
        Site(router, {"openai": transport}, mirror, board, VerdictBoard(arms(router), 60.0), headers_on=True)
    )


async def run(serve: Forwarder, messages: Sequence[Message], released: asyncio.Event) -> list[Message]:
    """Serve one request and return what was sent."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await asyncio.wait_for(serve(scope(), script(messages, released), send), 2)
    return sent


async def test_leaving_is_noticed_without_the_extension(board: Scoreboard) -> None:
    """A watching task reads `http.disconnect` and cancels what waits for the upstream."""
    transport, released = Slow(), asyncio.Event()
    asyncio.get_running_loop().call_later(0.02, released.set)
    assert await run(forwarder(transport, board), [BODY, GONE], released) == []
    assert transport.cancelled.is_set()
    counters = board.counters()
    assert (counters["left.before_head"], counters["ended"]) == (1, 1)


async def test_leaving_before_the_body_asks_nobody(board: Scoreboard) -> None:
    """A client that is gone before its body is read costs the upstream nothing."""
    transport, released = FakeTransport(), asyncio.Event()
    released.set()
    assert await run(forwarder(transport, board), [GONE], released) == []
    assert transport.requests == []
    assert board.counters()["left.upload"] == 1


async def test_the_reply_is_closed_whatever_happens(board: Scoreboard) -> None:
    """After a proper end and after a fault in its middle."""
    released = asyncio.Event()
    for chunks, ends in ((b"one", b"two"), True), ((b"one", UpstreamFault("upstream_reset")), False):
        transport = FakeTransport(200, [(b"x", b"1")], chunks)
        sent = await run(forwarder(transport, board), [BODY, GONE], released)
        assert transport.replies[0].closed
        assert transport.bodies == [b"{}"]
        assert sent[1]["body"] == b"one"
        assert (sent[-1].get("more_body") is False) is ends


async def test_draining_answers_503(board: Scoreboard) -> None:
    """What begins after the drain is told to try again."""
    serve, released = forwarder(FakeTransport(), board), asyncio.Event()
    serve.draining = True
    sent = await run(serve, [BODY, GONE], released)
    assert (sent[0]["status"], dict(sent[0]["headers"])[b"drift-error"]) == (503, b"draining")


async def test_patience_at_shutdown_is_not_a_client_that_left(board: Scoreboard) -> None:
    """A request that outlasts the drain is told so, and counted as our fault."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    serve = forwarder(Slow(), board)
    task = asyncio.create_task(serve(scope(), script([BODY, GONE], asyncio.Event()), send))
    await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.wait_for(task, 2)
    assert sent[0]["status"] == 503
    counters = board.counters()
    assert (counters["fault.draining"], counters["left.before_head"]) == (1, 0)


async def test_a_client_belongs_to_a_task() -> None:
    """The phases have names, and a fresh client is before its head."""
    client = Client(scope(), script([GONE], asyncio.Event()), lambda _: asyncio.sleep(0))
    assert client.phase_name == "before_head"
