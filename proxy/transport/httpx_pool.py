"""httpcore's connections behind httpx's transport interface, in a pool that keeps what httpx's own does not promise.

Law: a connection serves again only after an answer with nothing behind it, and only while its socket is silent; one
step a request, however many connections there are (httpcore's pool takes one for each pair of them). An upload stops
when the upstream answers before its end. Reaching into httpcore: what h11 has not used of an answer.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, cast

import httpcore
import httpx

# How often an upload that waits for its client looks whether it is answered already, in seconds.
LOOK_S = 0.05
_INTERIM = (b"HTTP/1.1 1", b"HTTP/1.0 1")


class Upload(httpx.AsyncByteStream):
    """A body that comes in parts."""

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._body:
            yield part


class StrictPool(httpx.AsyncBaseTransport):
    """Keeps connections; belongs to the loop it was made in."""

    def __init__(self, context: ssl.SSLContext | None, keep_alive_s: float) -> None:
        self._context = context
        self._keep_alive_s = keep_alive_s
        self._open: set[_Kept] = set()
        # In the order in which they were given back.
        self._idle: dict[str, list[_Kept]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return the answer's head. Raises httpcore's exceptions."""
        url = request.url
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        kept = await self._take(target.origin)
        stream = cast("httpx.AsyncByteStream", request.stream)
        asked = httpcore.Request(
            request.method,
            target,
            headers=request.headers.raw,
            content=_until_answered(stream, kept) if isinstance(stream, Upload) else stream,
            extensions={**request.extensions, "trace": kept.trace},
        )
        answer = None
        try:
            answer = await kept.connection.handle_async_request(asked)
        finally:
            if answer is None:
                await self._discard(kept)
        body = _Body(self, kept, answer)
        return httpx.Response(
            answer.status, headers=answer.headers, stream=body, extensions=dict(answer.extensions)
        )

    async def _take(self, origin: httpcore.Origin) -> _Kept:
        idle = self._idle.get(str(origin), [])
        while idle:
            kept = idle.pop()
            if not kept.connection.has_expired():
                return kept
            await self._discard(kept)
        connection = httpcore.AsyncHTTPConnection(
            origin, ssl_context=self._context, keepalive_expiry=self._keep_alive_s
        )
        self._open.add(kept := _Kept(origin, connection))
        return kept

    async def give_back(self, kept: _Kept) -> None:
        """Keep a connection whose exchange is over, if it can serve another one; and let go what has rested too long."""
        if not kept.connection.is_idle() or kept.has_surplus():
            await self._discard(kept)
            return
        idle = self._idle.setdefault(str(kept.origin), [])
        idle.append(kept)
        while idle and idle[0].connection.has_expired():
            await self._discard(idle.pop(0))

    async def _discard(self, kept: _Kept) -> None:
        self._open.discard(kept)
        with suppress(OSError, httpcore.NetworkError):
            await kept.connection.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        for kept in list(self._open):
            await self._discard(kept)


class _Kept:
    """A connection and its socket."""

    def __init__(self, origin: httpcore.Origin, connection: httpcore.AsyncHTTPConnection) -> None:
        self.origin = origin
        self.connection = connection
        self._stream: Any = None

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        """Note the network stream when there is one (httpcore's `trace` extension)."""
        if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            self._stream = info["return_value"]

    def has_surplus(self) -> bool:
        """Whether the upstream has sent more than its answer: the next one must not be read from that."""
        inner: Any = self.connection._connection  # noqa: SLF001 - httpcore shows it nowhere else
        return bool(inner._h11_state.trailing_data[0])  # noqa: SLF001 - as above

    def answered(self) -> bool:
        """Whether an answer (or an end) is there to be read; over TLS nobody can tell without reading."""
        raw = None if self._stream is None else self._stream.get_extra_info("socket")
        if raw is None or self._stream.get_extra_info("ssl_object") is not None:
            return False
        try:
            with socket.socket(fileno=os.dup(raw.fileno())) as looking:
                start = looking.recv(len(_INTERIM[0]), socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return not start.startswith(_INTERIM)


async def _until_answered(body: httpx.AsyncByteStream, kept: _Kept) -> AsyncIterator[bytes]:
    """Yield a body's parts until the upstream answers. httpcore goes on to the answer after a failed write, and closes."""
    parts = aiter(body)
    while True:
        upcoming = asyncio.ensure_future(anext(parts, b""))
        try:
            while not upcoming.done() or kept.answered():
                if kept.answered():
                    raise httpcore.WriteError("answered before the upload's end")
                await asyncio.wait({upcoming}, timeout=LOOK_S)
        finally:
            upcoming.cancel()
        if not (part := upcoming.result()):
            return
        yield part


class _Body(httpx.AsyncByteStream):
    """An answer's body; closing it gives the connection back."""

    def __init__(self, pool: StrictPool, kept: _Kept, answer: httpcore.Response) -> None:
        self._pool = pool
        self._kept: _Kept | None = kept
        self._stream: Any = answer.stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            yield part

    async def aclose(self) -> None:
        """End the exchange. May be called twice."""
        kept, self._kept = self._kept, None
        if kept is not None:
            await self._stream.aclose()
            await self._pool.give_back(kept)
