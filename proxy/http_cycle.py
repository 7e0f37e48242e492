"""One request and its response on a client's connection: uvicorn's cycle, less what is not used here.

Law: a head leaves at once, in one write with what follows it at once. A header that could be read as two is refused
with the whole response. What a head promises of its body is kept, or the connection ends without a proper end.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

# SO_LINGER: what closing a socket sends.
_RESET, _FIN = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)
# Every byte that a head may hold; its line ends are counted beside.
_ALLOWED = bytes(byte for byte in range(256) if (byte >= 32 and byte != 127) or byte in b"\t\r\n")


class HeadJoiner:
    """What a cycle writes to: a head and the part of its body that follows at once leave in one write.

    A head that nothing follows leaves in the loop's next turn.
    """

    __slots__ = ("_begun", "_held", "_loop", "_transport", "get_extra_info", "is_closing")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""
        self._begun = False
        self.is_closing = transport.is_closing
        self.get_extra_info = transport.get_extra_info

    def write(self, data: bytes) -> None:
        """Write what comes first a moment later, and everything else at once."""
        if not self._begun:
            self._begun = True
            self._held = data
            self._loop.call_soon(self.flush)
        elif self._held:
            held, self._held = self._held, b""
            self._transport.write(held + data)
        elif data:
            self._transport.write(data)

    def flush(self) -> None:
        """Write what is held."""
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)

    def close(self) -> None:
        """Close behind what has been written."""
        self.flush()
        self._transport.close()


class Cycle(RequestResponseCycle):
    """uvicorn's cycle of one request and its response."""

    transport: HeadJoiner  # type: ignore[assignment]
    # Ends the connection of a client that may still be sending.
    hang_up: Callable[[], None]

    async def send(self, message: Any) -> None:
        """Send a message; returns when the client's buffer has room again."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            self.response_started = True
            self.waiting_for_100_continue = False
            self.transport.write(self._head(message["status"], message["headers"]))
        else:
            self._part(message.get("body", b""), more=message.get("more_body", False))

    def _head(self, status: int, headers: Any) -> bytes:
        # Some servers use numbers beyond 599 (RFC 9110 section 15); they are theirs to use.
        rows = [STATUS_LINE.get(status) or b"HTTP/1.1 %d \r\n" % status]
        closes, added = False, 0
        for raw, value in headers:
            name = raw.lower()
            if name == b"content-length" and status == 204:
                # It may not have one, and who believed it would wait for a body, or take the next answer for it
                # (RFC 9110 section 8.6).
                added -= 1
                continue
            if name == b"content-length" and self.chunked_encoding is None:
                self.expected_content_length = int(value)
                self.chunked_encoding = False
            elif name == b"connection":
                closes = b"close" in value.lower()
            rows += (name, b": ", value, b"\r\n")
        if status == 304:
            # It names the length of its 200 and has no body all the same (RFC 9110 section 8.6).
            self.expected_content_length = 0
        if closes:
            self.keep_alive = False
        elif not self.keep_alive:
            rows.append(b"connection: close\r\n")
            added += 1
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in {204, 304}:
            self.chunked_encoding = True
            rows.append(b"transfer-encoding: chunked\r\n")
            added += 1
        head = b"".join(rows)
        lines = 1 + len(headers) + added
        if head.translate(None, _ALLOWED) or head.count(b"\r") != lines or head.count(b"\n") != lines:
            raise ValueError("a header holds a control character")
        return head + b"\r\n"

    def _part(self, body: bytes, *, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
        elif self.chunked_encoding:
            framed = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            self.transport.write(framed if more else framed + b"0\r\n\r\n")
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise ValueError("the body is longer than its Content-Length")
            self.transport.write(body)
        if not more:
            self._finish()

    def _finish(self) -> None:
        if self.expected_content_length:
            raise ValueError("the body is shorter than its Content-Length")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive and self.more_body:
            self.transport.flush()
            self.hang_up()
        elif not self.keep_alive:
            self.transport.close()
        self.on_response()


class OldCycle(Cycle):
    """A cycle for a client of HTTP/1.0: no chunks; a body of unknown length ends with the connection.

    Its proper end is FIN, so an end before its time must be RST: until the proper end, closing resets.
    """

    _delimited = False

    async def send(self, message: Any) -> None:
        """Send a message."""
        if message["type"] == "http.response.start" and _unbounded(message):
            self._delimited = True
            self.chunked_encoding = False
            self.expected_content_length = sys.maxsize
            self._on_close(_RESET)
        if self._delimited and not message.get("more_body", True):
            self.expected_content_length = len(message.get("body", b""))
            self._on_close(_FIN)
        await super().send(message)

    def _on_close(self, linger: bytes) -> None:
        raw = self.transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def _unbounded(start: Any) -> bool:
    names = {name.lower() for name, _ in start["headers"]}
    return b"content-length" not in names and start["status"] not in {204, 304}
