"""The test double of the transport: answers from a list of chunks and remembers what it was asked."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.faults import UpstreamFault
from proxy.transport import Outgoing, PlainReply, Reply


class FakeReply(PlainReply):
    """A reply made of given chunks; a chunk that is a fault is raised."""

    def __init__(
        self, status: int, headers: list[tuple[bytes, bytes]], chunks: Sequence[bytes | UpstreamFault]
    ) -> None:
        self.status = status
        self.headers = headers
        self.closed = False
        self._chunks = list(chunks)

    async def read(self) -> bytes:
        """Return the next chunk."""
        chunk = self._chunks.pop(0) if self._chunks else b""
        if isinstance(chunk, UpstreamFault):
            raise chunk
        return chunk

    def rest(self) -> bytes:
        """Return nothing: chunks are given out before faults."""
        return b""

    async def close(self) -> None:
        """Remember that the reply was closed."""
        self.closed = True


class FakeTransport:
    """Gives the same reply, or raises the same fault, for every request."""

    def __init__(
        self,
        status: int = 200,
        headers: Sequence[tuple[bytes, bytes]] = (),
        chunks: Sequence[bytes | UpstreamFault] = (),
        fault: UpstreamFault | None = None,
    ) -> None:
        self._status = status
        self._headers = headers
        self._chunks = chunks
        self._fault = fault
        self.requests: list[Outgoing] = []
        self.bodies: list[bytes] = []
        self.replies: list[FakeReply] = []

    async def open(self, request: Outgoing) -> Reply:
        """Record the request with its whole body and answer it."""
        self.requests.append(request)
        body = request.body
        if body is not None and not isinstance(body, bytes):
            body = b"".join([chunk async for chunk in body])
        self.bodies.append(body or b"")
        if self._fault:
            raise self._fault
        self.replies.append(FakeReply(self._status, list(self._headers), self._chunks))
        return self.replies[-1]

    async def close(self) -> None:
        """Nothing to close."""
