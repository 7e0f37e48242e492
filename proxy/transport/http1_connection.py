"""One HTTP/1.1 connection to an upstream: a request is written, an answer is read.

Law: one exchange at a time. Of what arrives about `HIGH_WATER` bytes are kept at most: beyond that the socket is left
unread, which is how a slow client slows its upstream down. A connection may serve another exchange only after an
answer that was whole, said so, and had nothing behind it; a byte that nobody asked for ends it.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterator, Callable
from typing import cast

import httptools

from proxy.faults import UpstreamFault
from proxy.transport.http1_answer import BODY, HEAD, IDLE, SWITCHED, WHOLE, Answer
from proxy.tunnel import Duplex, StreamDuplex

HIGH_WATER = 256 * 1024
# An idle connection is asked after only if it has rested longer than this, in seconds.
FRESH_S = 0.05
# A head beyond this many bytes is no HTTP that anybody sends.
LONGEST_HEAD = 256 * 1024


class Connection(Answer, asyncio.Protocol):
    """A connection; `on_lost` hears of its end, whoever ended it."""

    def __init__(self, read_s: float, on_lost: Callable[[Connection], None]) -> None:
        super().__init__(read_s)
        self._on_lost = on_lost
        self._poll = select.poll()
        self._lost = self._ended = False
        self._room = asyncio.Event()
        self._room.set()
        self._upload: asyncio.Task[None] | None = None
        self._uploading = False
        # When it was last given back, on the loop's clock.
        self.idle_since = 0.0

    def ask(self, method: str, head: bytes, body: bytes | None) -> None:
        """Begin an exchange: write the request's head and what is there of its body."""
        self._state = HEAD
        self._method = method
        self._head_bytes = 0
        self._fault, self._upload, self._uploading = None, None, False
        if body is None:
            self._transport.write(head)
        elif len(body) < HIGH_WATER:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))

    def upload(self, body: AsyncIterator[bytes], *, chunked: bool) -> None:
        """Send the body as it comes; an answer may overtake it."""
        self._uploading = True
        self._upload = asyncio.create_task(self._send(body, chunked=chunked), name="upload")
        self._upload.add_done_callback(self._uploaded)

    def take_over(self) -> Duplex:
        """Return the connection behind a 101. Raises UpstreamFault."""
        if self._state != SWITCHED or self._lost:
            raise UpstreamFault("upstream_reset")
        self._stop_waiting()
        return StreamDuplex(self._transport, b"".join(self._chunks))

    def rest_idle(self) -> bool:
        """End the exchange; False when the connection cannot serve another one."""
        if self._state != WHOLE or not self._keep or self._uploading or self._lost or self._paused:
            return False
        self._state = IDLE
        self._chunks, self._held = [], 0
        self.idle_since = self._loop.time()
        return True

    def usable(self) -> bool:
        """Whether an idle connection is still silent and open; after a rest, as the kernel knows it now.

        What has changed in the last moments the loop has seen, or sees as soon as anybody could.
        """
        if self._lost or self._transport.is_closing():
            return False
        return self._loop.time() - self.idle_since < FRESH_S or not self._poll.poll(0)

    def abort(self) -> None:
        """End the connection at once."""
        self._stop_waiting()
        if self._upload is not None:
            self._upload.cancel()
        if self._state == SWITCHED:
            # Its holder may have closed it already, and what was written then is still on its way.
            self._transport.close()
        else:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)
        raw = transport.get_extra_info("socket")
        self._poll.register(raw.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived."""
        if self._state == SWITCHED:
            self._chunks.append(data)
            return
        self._heard = self._loop.time()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._state = SWITCHED
            self._chunks = [data[upgrade.args[0] :]]
        except httptools.HttpParserError:
            self._keep = False
            if self._state in {HEAD, BODY}:
                self._fail("upstream_garbage")
            else:
                # Behind an answer that was whole, or with nothing asked: nobody else may read that.
                self._transport.abort()
        if self._state == HEAD:
            self._head_bytes += len(data)
            if self._head_bytes > LONGEST_HEAD:
                self._fail("upstream_garbage")
            return
        if self._held > HIGH_WATER and not self._paused and self._state == BODY:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """Note that the upstream closed; the transport closes itself."""
        self._ended = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell a proper end from a fault."""
        self._lost, self._keep = True, False
        if self._state == BODY and exc is None and self._ended and self._ends_with_connection():
            self._state = WHOLE
        elif self._state in {HEAD, BODY}:
            self._fault = self._fault or UpstreamFault("upstream_reset", type(exc).__name__ if exc else "")
        self._stop_patience()
        self._room.set()
        self._wake()
        # It refers back to us, and garbage in circles stays until somebody collects it.
        del self._parser
        self._on_lost(self)

    def pause_writing(self) -> None:
        """Let the upload wait."""
        self._room.clear()

    def resume_writing(self) -> None:
        """Let the upload go on."""
        self._room.set()

    async def _send(self, body: AsyncIterator[bytes], *, chunked: bool) -> None:
        async for part in body:
            if self._poll.poll(0):
                # An early answer may be followed by a reset: it is read before writing on meets that.
                await asyncio.sleep(0)
            if self._state not in {HEAD, BODY} or self._transport.is_closing():
                return
            self._heard = self._loop.time()
            self._transport.writelines((b"%x\r\n" % len(part), part, b"\r\n") if chunked else (part,))
            await self._room.wait()
        if chunked:
            self._transport.write(b"0\r\n\r\n")
        self._uploading = False

    def _uploaded(self, upload: asyncio.Task[None]) -> None:
        error = None if upload.cancelled() else upload.exception()
        if error is not None:
            self._keep = False
            self._fault = self._fault or (error if isinstance(error, UpstreamFault) else None)
            self._fail("upstream_reset")
