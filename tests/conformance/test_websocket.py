"""WebSockets, spoken by hand: handshake, frames of both kinds, closing, and what breaks (RFC 6455)."""

from __future__ import annotations

import base64
import hashlib
import struct
import threading
import time

import pytest

from tests.conformance.site import Site
from tests.conformance.wire import Message, Wire, response

KEY = base64.b64encode(b"0123456789abcdef")
ACCEPT = base64.b64encode(hashlib.sha1(KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())  # noqa: S324 - RFC 6455
TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
ASKING = (
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: " + KEY,
    b"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.sk-x",
    b"Sec-WebSocket-Extensions: permessage-deflate",
    b"Authorization: Bearer sk-client",
)
AGREED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    + ACCEPT
    + b"\r\nSec-WebSocket-Protocol: realtime\r\nX-Session: s1\r\n\r\n"
)


def frame(kind: int, data: bytes, *, masked: bool = False) -> bytes:
    """Write a final frame."""
    bit = 0x80 if masked else 0
    if len(data) < 126:
        size = bytes([bit | len(data)])
    elif len(data) < 65_536:
        size = bytes([bit | 126]) + struct.pack(">H", len(data))
    else:
        size = bytes([bit | 127]) + struct.pack(">Q", len(data))
    mask = b"\x01\x02\x03\x04" if masked else b""
    return bytes([0x80 | kind]) + size + mask + _masked(data, mask)


def _masked(data: bytes, mask: bytes) -> bytes:
    if not mask:
        return data
    key = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data) ^ int.from_bytes(key)).to_bytes(len(data))


def unframe(wire: Wire) -> tuple[int, bytes]:
    """Read a frame."""
    first, second = wire.exactly(2)
    size = second & 0x7F
    if size == 126:
        size = struct.unpack(">H", wire.exactly(2))[0]
    elif size == 127:
        size = struct.unpack(">Q", wire.exactly(8))[0]
    mask = wire.exactly(4) if second & 0x80 else b""
    return first & 0x0F, _masked(wire.exactly(size), mask)


def agree(head: Message, wire: Wire) -> None:
    """Answer a handshake that is one; refuse what has lost its `Upgrade` on the way."""
    asked = [value.lower() for value in head.values(b"upgrade")] == [b"websocket"]
    assert b"upgrade" in b",".join(head.values(b"connection")).lower()
    assert asked
    wire.send(AGREED)


def shake(site: Site, path: bytes = b"/realtime?model=gpt&x=%20") -> tuple[Wire, Message]:
    """Ask for a WebSocket; return the connection and the answer's head."""
    wire = site.connect()
    wire.send(site.head(b"GET", path, *ASKING))
    return wire, wire.head()


def test_f41_websocket_handshake_passes(site: Site) -> None:
    """Query, subprotocol, extensions, key and credentials reach the upstream; its answer's headers return."""
    heads = []

    def script(head: Message, wire: Wire) -> None:
        heads.append(head)
        agree(head, wire)
        wire.gone(5.0)

    site.upstream.start(script)
    wire, got = shake(site)
    assert got.status == 101
    assert got.values(b"sec-websocket-accept") == [ACCEPT]
    assert got.values(b"sec-websocket-protocol") == [b"realtime"]
    assert got.values(b"x-session") == [b"s1"]
    assert [value.lower() for value in got.values(b"upgrade")] == [b"websocket"]
    wire.close()
    assert heads[0].target == b"/v1/realtime?model=gpt&x=%20"
    for row in ASKING[2:]:
        name, _, value = row.partition(b": ")
        assert heads[0].values(name.lower()) == [value]


def test_f41_websocket_frames_pass_both_ways(site: Site) -> None:
    """Text, binary and ping frames, small and large, echo through unchanged and at once."""

    def script(head: Message, wire: Wire) -> None:
        assert head.values(b"upgrade")
        # The first frame in the very packet of the handshake's answer.
        wire.send(AGREED + frame(TEXT, b'{"type":"session.created"}'))
        while True:
            kind, data = unframe(wire)
            wire.send(frame(kind, data))

    site.upstream.start(script)
    wire, _ = shake(site)
    assert unframe(wire) == (TEXT, b'{"type":"session.created"}')
    for kind, data in (
        (TEXT, "hé".encode()),
        (BINARY, bytes(range(256)) * 20),
        (PING, b"p"),
        (BINARY, b"\xff" * 300_000),
    ):
        began = time.monotonic()
        wire.send(frame(kind, data, masked=True))
        assert unframe(wire) == (kind, data)
        assert time.monotonic() - began < 1.5
    wire.close()


@pytest.mark.parametrize("side", ["upstream", "client"])
def test_f41_websocket_closing_passes_with_code_and_reason(site: Site, side: str) -> None:
    """Either side closes with a code and a reason; the other sees both, answers, and the connections end."""
    closing = struct.pack(">H", 4001) + "zu spät".encode()
    seen: list[tuple[int, bytes]] = []
    ended = threading.Event()

    def script(head: Message, wire: Wire) -> None:
        agree(head, wire)
        if side == "upstream":
            wire.send(frame(CLOSE, closing))
        seen.append(unframe(wire))
        if side == "client":
            wire.send(frame(*seen[0]))
            wire.close()
        elif wire.gone(3.0):
            ended.set()

    site.upstream.start(script)
    wire, _ = shake(site)
    if side == "upstream":
        assert unframe(wire) == (CLOSE, closing)
        wire.send(frame(CLOSE, closing, masked=True))
        wire.close()
        assert ended.wait(2.0)
    else:
        wire.send(frame(CLOSE, closing, masked=True))
        assert unframe(wire) == (CLOSE, closing)
        assert wire.gone(2.0)
        wire.close()
    assert seen == [(CLOSE, closing)]
    if site.ours:
        assert site.settled()["requests"]["in_flight"] == 0


@pytest.mark.parametrize("side", ["upstream", "client"])
def test_f41_websocket_breaks_are_passed_on(site: Site, side: str) -> None:
    """A side that breaks off without closing ends the other side's connection within a second."""
    shaken, ended = threading.Event(), threading.Event()

    def script(head: Message, wire: Wire) -> None:
        agree(head, wire)
        shaken.wait(5.0)
        if side == "upstream":
            wire.reset()
        elif wire.gone(3.0):
            ended.set()

    site.upstream.start(script)
    wire, _ = shake(site)
    shaken.set()
    if side == "upstream":
        assert wire.gone(1.0)
    else:
        wire.reset()
        assert ended.wait(1.0)


def test_f41_websocket_refusal_passes_verbatim(site: Site) -> None:
    """An upstream that refuses the handshake is quoted: status, headers, body."""
    body = b'{"error":{"message":"no such model"}}'
    site.upstream.start(
        response(body, b"content-type: application/json", b"x-why: model", status=b"403 Forbidden")
    )
    wire, head = shake(site)
    got = wire.body(head)
    wire.close()
    assert (got.status, got.body, got.values(b"x-why")) == (403, body, [b"model"])


def test_f41_websocket_of_a_slow_reader_is_bounded(site: Site) -> None:
    """An upstream that floods a client who does not read is slowed down, and everything arrives in the end."""
    sent = [0]
    part = frame(BINARY, b"z" * 65_000)

    def script(head: Message, wire: Wire) -> None:
        agree(head, wire)
        for _ in range(500):
            wire.send(part)
            sent[0] += 1
        wire.send(frame(CLOSE, b""))
        wire.gone(5.0)

    site.upstream.start(script)
    before = site.rss_mb() if site.ours else 0.0
    wire, _ = shake(site)
    time.sleep(0.5)
    held = sent[0]
    assert held < 500
    if site.ours:
        assert site.rss_mb() - before < 24
    for _ in range(500):
        assert unframe(wire)[1] == b"z" * 65_000
    assert unframe(wire)[0] == CLOSE
    wire.close()
