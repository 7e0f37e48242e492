"""What a response looks like on the wire, write by write."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.http_cycle import HeadJoiner
from proxy.http_server import make_server
from tests.proxy.wire import Asked, read_message


class Sink:
    """The part of a transport that a cycle uses."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        """Note a write."""
        self.writes.append(data)

    def close(self) -> None:
        """Note the closing."""
        self.closed = True

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.closed

    def get_extra_info(self, _: str) -> None:
        """Know nothing."""


def joiner(sink: Sink) -> HeadJoiner:
    """Make a joiner before a sink."""
    return HeadJoiner(sink, asyncio.get_running_loop())  # type: ignore[arg-type]


async def test_a_head_and_what_follows_at_once_are_one_write() -> None:
    """The rest is written as it comes."""
    sink = Sink()
    out = joiner(sink)
    for part in (b"head ", b"body ", b"more"):
        out.write(part)
    assert sink.writes == [b"head body ", b"more"]


async def test_a_head_alone_leaves_in_the_next_turn() -> None:
    """And what comes later is a write of its own."""
    sink = Sink()
    out = joiner(sink)
    out.write(b"head")
    await asyncio.sleep(0)
    assert sink.writes == [b"head"]
    out.write(b"body")
    assert sink.writes == [b"head", b"body"]


async def test_closing_loses_nothing() -> None:
    """What is held is written before the connection ends."""
    sink = Sink()
    out = joiner(sink)
    out.write(b"head")
    out.close()
    assert (sink.writes, sink.closed) == ([b"head"], True)


async def respond(headers: list[tuple[bytes, bytes]], *parts: bytes, status: int = 200) -> Asked:
    """Serve one response of an application's own making over a real socket and read it."""

    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    server = make_server(app, 1.0)
    server.config.load()
    loop = asyncio.get_running_loop()
    serving = await loop.create_server(
        lambda: server.config.http_protocol_class(server.config, server.server_state, {}), "127.0.0.1", 0
    )
    reader, writer = await asyncio.open_connection(*serving.sockets[0].getsockname())
    try:
        writer.write(b"GET / HTTP/1.1\r\nhost: p\r\n\r\n")
        return await asyncio.wait_for(read_message(reader), 5)
    finally:
        writer.close()
        serving.close()
        for connection in list(server.server_state.connections):
            connection.transport.close()
        if tasks := set(server.server_state.tasks):
            await asyncio.wait(tasks, timeout=2.0)


async def test_bodies_of_known_and_unknown_length() -> None:
    """A length is kept to, and without one there are chunks."""
    assert (await respond([(b"Content-Length", b"4")], b"ab", b"cd")).body == b"abcd"
    got = await respond([], b"ab", b"cd")
    assert (got.body, got.values(b"transfer-encoding")) == (b"abcd", [b"chunked"])


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: x", b"a\n", b"a\r\n", b"a\x00b", b"a\x7f"])
async def test_a_header_that_could_be_read_as_two_is_never_written(value: bytes) -> None:
    """The response is refused: the connection ends without a byte of it."""
    with pytest.raises(asyncio.IncompleteReadError) as caught:
        await respond([(b"x", value), (b"content-length", b"0")])
    assert caught.value.partial == b""


async def test_numbers_beyond_599_are_the_upstreams_to_use() -> None:
    """They pass, with no phrase."""
    got = await respond([(b"content-length", b"0")], status=999)
    assert got.line.rstrip() == b"HTTP/1.1 999"


async def test_a_length_that_is_not_kept_is_no_proper_end() -> None:
    """Too little ends the connection early; of too much only what was promised is written."""
    with pytest.raises(asyncio.IncompleteReadError):
        await respond([(b"content-length", b"5")], b"abc")
    assert (await respond([(b"content-length", b"5")], b"abcde", b"f")).body == b"abcde"
