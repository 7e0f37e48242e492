"""One HTTP/1.1 connection to an upstream: a request is written, the answer is parsed by llhttp as its bytes arrive.

Law: one exchange at a time. What arrives is kept until it is read, at most about `HIGH_WATER` bytes of it: beyond
that the socket is left unread, which is how a slow client slows its upstream down. A connection may serve another
exchange only after an answer that was whole, said so, and had nothing behind it; a byte that nobody asked for ends
it. What had arrived before a fault is given out before the fault is.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterator, Callable
from typing import cast

import httptools

from proxy.faults import UpstreamFault
from proxy.headers import value_of
from proxy.tunnel import Duplex, StreamDuplex

HIGH_WATER = 256 * 1024
# An idle connection is asked after only if it has rested longer than this, in seconds.
FRESH_S = 0.05
# A head beyond this many bytes is no HTTP that anybody sends.
LONGEST_HEAD = 256 * 1024


# How far the answer has come. Plain numbers: an enumeration's members cost a lookup in its class each time.
IDLE, HEAD, BODY, WHOLE, SWITCHED = range(5)


class Connection(asyncio.Protocol):
    """A connection; `on_lost` hears of its end, whoever ended it."""

    def __init__(self, read_s: float, on_lost: Callable[[Connection], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._read_s = read_s
        self._on_lost = on_lost
        self._parser = httptools.HttpResponseParser(self)
        self._poll = select.poll()
        self._state = IDLE
        self._lost = self._ended = self._paused = self._keep = False
        self._fault: UpstreamFault | None = None
        self._method = ""
        self._head_bytes = 0
        self._chunks: list[bytes] = []
        self._held = 0
        self._waiter: asyncio.Future[None] | None = None
        self._heard = 0.0
        self._patience: asyncio.TimerHandle | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._upload: asyncio.Task[None] | None = None
        self._uploading = False
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        # When it was last given back, on the loop's clock.
        self.idle_since = 0.0

    # What the exchange's owner calls.

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

    async def answered(self) -> None:
        """Wait for the answer's head. Raises UpstreamFault."""
        while self._state == HEAD:
            if self._fault is not None:
                raise self._fault
            await self._more()

    async def read(self) -> bytes:
        """Return what has arrived of the body since the last call, empty at its end. Raises UpstreamFault."""
        while True:
            if chunks := self._chunks:
                self._chunks, self._held = [], 0
                if self._paused:
                    self._paused = False
                    self._transport.resume_reading()
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)
            if self._state >= WHOLE:
                return b""
            if self._fault is not None:
                raise self._fault
            await self._more()

    @property
    def heard(self) -> bool:
        """Whether anything of an answer has arrived."""
        return self._head_bytes > 0 or self._state > HEAD

    @property
    def ended(self) -> bool:
        """Whether nothing comes any more beside what `read` would return at once."""
        return self._state == WHOLE

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

    # What the event loop calls.

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

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Begin an answer, or refuse one that nobody asked for."""
        if self._state != HEAD:
            raise ValueError("nothing was asked")
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Let the head out; an interim answer (100, 103) is nobody's."""
        status = self._parser.get_status_code()
        if status >= 200 or status == 101:
            self.status = status
            self._state = BODY
            if self._method == "HEAD":
                # The parser would wait for the body that the head describes, so it is not used again.
                self._keep = self._parser.should_keep_alive()
                self._state = WHOLE
                self._parser = httptools.HttpResponseParser(self)

    def on_body(self, data: bytes) -> None:
        """Keep a part of the body."""
        if self._state != BODY:
            raise ValueError("nothing was asked")
        self._chunks.append(data)
        self._held += len(data)

    def on_message_complete(self) -> None:
        """Note the proper end."""
        if self._state == BODY:
            self._state = WHOLE
            self._keep = self._parser.should_keep_alive()

    # Ours.

    async def _more(self) -> None:
        self._waiter = self._loop.create_future()
        self._heard = self._loop.time()
        if self._patience is None:
            self._patience = self._loop.call_later(self._read_s, self._check)
        await self._waiter

    def _check(self) -> None:
        """Give up when nothing has moved for too long. One timer serves many waits: it is moved on as it fires."""
        self._patience = None
        if self._waiter is None:
            return
        left = self._heard + self._read_s - self._loop.time()
        if left > 0.001:
            self._patience = self._loop.call_later(left, self._check)
        else:
            self._fail("upstream_timeout")

    def _fail(self, code: str) -> None:
        self._fault = self._fault or UpstreamFault(code)
        self._transport.abort()
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _stop_waiting(self) -> None:
        self._stop_patience()
        self._waiter = None

    def _stop_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _ends_with_connection(self) -> bool:
        if value_of(self.headers, b"content-length"):
            return False
        coding = value_of(self.headers, b"transfer-encoding").lower().rpartition(b",")[2].strip()
        return coding != b"chunked"

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
        if not upload.cancelled() and upload.exception() is not None:
            self._keep = False
            self._fail("upstream_reset")
