"""The other transport: any httpx transport (httpx's own by default), below httpx's client.

The client would add headers and decode; its transport does neither. The request target goes out as raw bytes
through httpcore's `target` extension.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from typing import Any

import httpcore
import httpx

from monitor.contract.config import Timeouts
from proxy.faults import UpstreamFault
from proxy.file_limit import lacks_files
from proxy.headers import value_of
from proxy.transport import Body, Outgoing, Reply
from proxy.transport.httpx_pool import StrictPool, Upload
from proxy.tunnel import READ_SIZE, Duplex

KEEP_ALIVE_S = 4.0


class HttpxTransport:
    """Wraps one httpx transport; belongs to the loop it was made in."""

    def __init__(
        self,
        timeouts: Timeouts,
        inner: httpx.AsyncBaseTransport | None = None,
        *,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._inner = inner or StrictPool(context or ssl.create_default_context(), KEEP_ALIVE_S)
        self._timeouts = httpx.Timeout(timeouts.read_s, connect=timeouts.connect_s, pool=None).as_dict()

    async def open(self, request: Outgoing) -> Reply:
        """Send a request and return the reply's head. Raises UpstreamFault."""
        try:
            response = await self._inner.handle_async_request(self._request(request))
        except _ERRORS as error:
            raise _translate(error) from error
        if _contradictory(response.headers.raw):
            await response.aclose()
            raise UpstreamFault("upstream_garbage", "two framings")
        return HttpxReply(response)

    def _request(self, request: Outgoing) -> httpx.Request:
        url = httpx.URL(request.upstream.origin)
        framing = _framing(request)
        return httpx.Request(
            request.method,
            url,
            headers=[(b"host", url.netloc), *request.headers, *framing],
            stream=_stream(request.body),
            extensions={"timeout": self._timeouts, "target": request.target},
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._inner.aclose()


def _framing(request: Outgoing) -> list[tuple[bytes, bytes]]:
    if value_of(request.headers, b"content-length"):
        return []
    if isinstance(request.body, bytes):
        return [(b"content-length", str(len(request.body)).encode())]
    if request.body is not None:
        return [(b"transfer-encoding", b"chunked")]
    return [(b"content-length", b"0")] if request.method in {"POST", "PUT", "PATCH"} else []


def _stream(body: Body | None) -> httpx.AsyncByteStream:
    return httpx.ByteStream(body or b"") if body is None or isinstance(body, bytes) else Upload(body)


def _contradictory(headers: list[tuple[bytes, bytes]]) -> bool:
    """Tell whether an answer names its end twice; httpcore reads the chunks (RFC 9112 section 6.3 lets us refuse)."""
    return bool(value_of(headers, b"content-length") and value_of(headers, b"transfer-encoding"))


class HttpxReply:
    """A reply whose head has arrived."""

    __slots__ = ("_chunks", "_response", "headers", "status")

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._chunks = response.aiter_raw()
        self.status = response.status_code
        self.headers = response.headers.raw

    async def read(self) -> bytes:
        """Return the next bytes, empty at the end. Raises UpstreamFault."""
        try:
            async for chunk in self._chunks:
                if chunk:
                    return chunk
        except _ERRORS as error:
            raise _translate(error) from error
        return b""

    def rest(self) -> bytes:
        """Return nothing: httpx gives out bytes before it raises."""
        return b""

    def tunnel(self) -> Duplex:
        """Return the connection behind a 101, which is its holder's from then on."""
        stream = self._response.extensions.get("network_stream")
        if stream is None:
            raise UpstreamFault("websocket_unsupported")
        return _HttpxDuplex(stream)

    async def close(self) -> None:
        """Close the upstream connection unless the reply was read to its end."""
        await self._response.aclose()


class _HttpxDuplex:
    """httpcore's connection. It knows no half-closing, so that is done to the socket below it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def read(self) -> bytes:
        """Return the next bytes, empty at the end. Raises OSError when the connection broke."""
        try:
            data: bytes = await self._stream.read(READ_SIZE)
        except (httpcore.NetworkError, httpcore.TimeoutException) as error:
            raise OSError(str(error)) from error
        return data

    async def write(self, data: bytes) -> None:
        """Write; returns when there is room for more. Raises OSError when the connection broke."""
        try:
            await self._stream.write(data)
        except (httpcore.NetworkError, httpcore.TimeoutException) as error:
            raise OSError(str(error)) from error

    def end(self) -> None:
        """Tell the other side that nothing more comes; over TLS only closing can."""
        raw = self._stream.get_extra_info("socket")
        if raw is not None and self._stream.get_extra_info("ssl_object") is None:
            with suppress(OSError):
                raw.shutdown(socket.SHUT_WR)

    def close(self, *, broken: bool) -> None:
        """Nothing: the reply's own closing ends the connection."""


# httpcore's where its connections are our own, httpx's from any other transport of httpx.
_ERRORS = (
    httpx.TransportError,
    httpx.InvalidURL,
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    OSError,
)
_FAULT_OF: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    ((httpx.ConnectTimeout, httpcore.ConnectTimeout), "upstream_connect_timeout"),
    ((httpx.TimeoutException, httpcore.TimeoutException), "upstream_timeout"),
    ((httpx.ConnectError, httpcore.ConnectError), "upstream_refused"),
    ((httpx.RemoteProtocolError, httpcore.RemoteProtocolError), "upstream_garbage"),
    (httpx.InvalidURL, "bad_request_target"),
    # httpcore lets these through when a TLS 1.3 upstream refuses our certificate after the handshake.
    (ssl.SSLError, "upstream_tls"),
)


# What httpx calls a failed connection, told apart by what it was caused by.
_CAUSES: tuple[tuple[type[BaseException], str], ...] = (
    (socket.gaierror, "upstream_unresolved"),
    (ssl.SSLError, "upstream_tls"),
)


def _caused_by(error: BaseException | None, kind: type[BaseException]) -> bool:
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error is not None


def _translate(error: BaseException) -> UpstreamFault:
    code = next((code for kind, code in _FAULT_OF if isinstance(error, kind)), "upstream_reset")
    if code == "upstream_refused":
        code = next((named for kind, named in _CAUSES if _caused_by(error, kind)), code)
    if lacks_files(error):
        code = "too_many_connections"
    # httpcore reports a connection closed without an answer as a protocol error too.
    if code == "upstream_garbage" and "disconnected" in str(error):
        code = "upstream_reset"
    return UpstreamFault(code, type(error).__name__)
