"""An answer as its bytes arrive: llhttp calls back, a reader waits.

Law: what has arrived is kept until it is read and is given out before a fault is. One timer serves all waits: it is
moved on when it fires, because a read is far more frequent than a silence. A second answer is nobody's: it stops the
parser.
"""

from __future__ import annotations

import asyncio

import httptools

from proxy.faults import UpstreamFault
from proxy.headers import value_of

# How far the answer has come. Plain numbers: an enumeration's members cost a lookup in its class each time.
IDLE, HEAD, BODY, WHOLE, SWITCHED = range(5)


class Answer:
    """The answer's side of a connection, whose transport it reads from."""

    _transport: asyncio.Transport

    def __init__(self, read_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._read_s = read_s
        self._parser = httptools.HttpResponseParser(self)
        self._state = IDLE
        self._paused = self._keep = False
        self._fault: UpstreamFault | None = None
        self._method = ""
        self._head_bytes = 0
        self._chunks: list[bytes] = []
        self._held = 0
        self._waiter: asyncio.Future[None] | None = None
        self._heard = 0.0
        self._patience: asyncio.TimerHandle | None = None
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []

    @property
    def heard(self) -> bool:
        """Whether anything of an answer has arrived."""
        return self._head_bytes > 0 or self._state > HEAD

    @property
    def ended(self) -> bool:
        """Whether nothing comes any more beside what `read` would return at once."""
        return self._state == WHOLE

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

    def on_message_begin(self) -> None:
        """Begin an answer, or refuse one that nobody asked for."""
        if self._state != HEAD:
            raise ValueError("nothing was asked")
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; a trailer is nobody's (RFC 9110 section 6.5.1)."""
        if self._state == HEAD:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Let the head out; an interim answer (100, 103) is nobody's."""
        status = self._parser.get_status_code()
        if status >= 200 or status == 101:
            codings = [value for name, value in self.headers if name.lower() == b"transfer-encoding"]
            if codings and [coding.strip().lower() for coding in codings] != [b"chunked"]:
                # Nobody was asked for another one (`TE` stays here), and its name would be lost on the way.
                raise ValueError("a transfer coding that is not chunked")
            if self._parser.get_http_version() not in {"1.1", "1.0"}:
                raise ValueError("another version of HTTP")
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
        return not (value_of(self.headers, b"content-length") or value_of(self.headers, b"transfer-encoding"))
