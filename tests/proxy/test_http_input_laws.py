"""Requests cut out of bytes: the same however the network cuts them, sound or damaged."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.http_server import FaithfulProtocol, make_server
from tests.proxy.laws import cut

PLACES = st.lists(st.integers(0, 2000), max_size=8)
H2C = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMA\r\n"
# This application answers it like any request, so that what follows it are requests.
WEBSOCKET = b"connection: Upgrade\r\nupgrade: websocket\r\n"


class Seen(NamedTuple):
    """A request as the application got it, whole."""

    method: str
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Noting:
    """An application that notes whole requests and answers them."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
        target = scope["extensions"]["driftgate.target"]
        self.seen.append(Seen(scope["method"], target, tuple(scope["headers"]), body))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok", "more_body": False})


async def turns(count: int) -> None:
    """Let the loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


def received(wire: socket.socket) -> bytes:
    """Return everything that has arrived."""
    data = b""
    with contextlib.suppress(BlockingIOError):
        while part := wire.recv(65536):
            data += part
    return data


async def serve(pieces: Sequence[bytes], between: int = 3) -> tuple[list[Seen], list[str], bytes]:
    """Hand a connection's bytes over in pieces, the loop turning so often `between` them.

    Return whole requests, refusals, and all that was answered.
    """
    app, refusals = Noting(), list[str]()
    server = make_server(app, 1.0, count=refusals.append)
    server.config.load()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)  # noqa: FBT003 - the standard library's signature

    def made() -> FaithfulProtocol:
        return FaithfulProtocol(server.config, server.server_state, {})

    transport, protocol = await asyncio.get_running_loop().create_connection(made, sock=ours)
    for piece in pieces:
        protocol.data_received(piece)
        await turns(between)
    await turns(60)
    answered = received(theirs)
    transport.abort()
    theirs.close()
    await turns(3)
    for task in list(server.server_state.tasks):
        task.cancel()
    await asyncio.gather(*server.server_state.tasks, return_exceptions=True)
    return app.seen, refusals, answered


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, Seen]:
    """Draw a sound request and what the application should see of it."""
    method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE"]))
    target = draw(st.sampled_from([b"/v1/x", b"/v1//a%2Fb?", b"/?a=&b", b"/v1/chat/completions"]))
    body = draw(st.binary(max_size=30)) if method != "GET" else b""
    extra = draw(st.sampled_from([b"", b"x-a: 1\r\nx-a: 2\r\n", H2C, b"" if body else WEBSOCKET]))
    if not body:
        framing, framed = b"", b""
    elif draw(st.booleans()):
        framing, framed = b"content-length: %d\r\n" % len(body), body
    else:
        framing = b"transfer-encoding: chunked\r\n"
        parts = [part for part in cut(body, draw(PLACES)) if part]
        trailer = draw(st.sampled_from([b"", b"x-trailer: evil\r\n"]))
        framed = (
            b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n" + trailer + b"\r\n"
        )
    rows = b"host: p\r\n" + extra + framing
    headers = tuple(
        (name, value) for name, _, value in (row.partition(b": ") for row in rows.split(b"\r\n")[:-1])
    )
    raw = b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method.encode(), target, rows, framed)
    return raw, Seen(method, target, headers, body)


def lowered(seen: Seen) -> Seen:
    """Write headers' names as ASGI has them."""
    return seen._replace(headers=tuple((name.lower(), value) for name, value in seen.headers))


@settings(deadline=None, max_examples=60)
@given(st.lists(requests(), min_size=1, max_size=4), PLACES, st.integers(0, 5))
def test_every_cut_gives_the_same_requests(
    drawn: list[tuple[bytes, Seen]], places: list[int], between: int
) -> None:
    """On one connection, pipelined or not, with bodies, chunks, trailers and upgrades that will not be."""
    seen, refusals, answered = asyncio.run(serve(cut(b"".join(raw for raw, _ in drawn), places), between))
    assert seen == [lowered(each) for _, each in drawn]
    assert refusals == []
    assert answered.count(b"HTTP/1.1 200 OK") == len(drawn)


DAMAGE = st.lists(
    st.tuples(
        st.integers(0, 2000), st.sampled_from([b"", b"\r", b"\n", b"\r\n", b" ", b"\0", b":", b"9", b"\xff"])
    ),
    min_size=1,
    max_size=3,
)


@settings(deadline=None, max_examples=120)
@given(st.lists(requests(), min_size=1, max_size=3), DAMAGE, PLACES)
def test_damage_is_read_in_one_way(
    drawn: list[tuple[bytes, Seen]], damage: list[tuple[int, bytes]], places: list[int]
) -> None:
    """Whatever it is taken for, every cut is taken for the same, refused once at most, and answered in that number."""
    raw = b"".join(each for each, _ in drawn)
    for place, new in damage:
        at = place % (len(raw) + 1)
        raw = raw[:at] + new + raw[at + 1 :]
    seen, refusals, answered = asyncio.run(serve(cut(raw, places)))
    assert (seen, refusals) == asyncio.run(serve([raw]))[:2]
    assert len(refusals) <= 1
    assert answered.count(b"HTTP/1.1 200 OK") == len(seen)
    assert answered.count(b"HTTP/1.1 4") == len(refusals)
