"""A transport over aiohttp, with everything that changes bytes switched off.

Off: decompression, redirects, cookies, environment proxies, automatic headers, the limit of 100 connections, the
re-quoting of URLs. Idle connections are kept for less than the 5 s after which the usual Python servers close
theirs, and one that the upstream has closed already is recognised before anything is sent on it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from multidict import CIMultiDict
from yarl import URL

from monitor.contract.config import Timeouts
from proxy.faults import UpstreamFault
from proxy.file_limit import lacks_files
from proxy.transport import Body, Outgoing, Reply
from proxy.tunnel import Duplex, StreamDuplex

KEEP_ALIVE_S = 4.0
READ_BUFFER = 256 * 1024
# istr-free: aiohttp compares these case-insensitively.
_NOT_ADDED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class _StrictHandler(ResponseHandler):
    """aiohttp's connection, which also closes when the upstream says something nobody asked for.

    aiohttp itself would take such bytes for the start of the next client's answer.
    """

    idle = False

    def set_response_params(self, **params: Any) -> None:
        """Expect an answer."""
        self.idle = False
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Take bytes of an answer; close where none is expected."""
        if not self.idle:
            super().data_received(data)
        elif data and self.transport is not None:  # aiohttp wakes its own parser with nothing
            self.transport.close()


class _StrictConnector(aiohttp.TCPConnector):
    """aiohttp's pool, made of strict connections. Its seams for that are private."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        strict: Any = partial(_StrictHandler, loop=self._loop)
        self._factory = strict

    def _release(self, key: Any, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        super()._release(key, protocol, should_close=should_close)
        if isinstance(protocol, _StrictHandler):
            protocol.idle = True


class AiohttpTransport:
    """Keeps one session; belongs to the loop it was made in."""

    def __init__(self, timeouts: Timeouts, context: ssl.SSLContext | None = None) -> None:
        self._session = aiohttp.ClientSession(
            connector=_StrictConnector(
                limit=0,
                limit_per_host=0,
                keepalive_timeout=KEEP_ALIVE_S,
                ttl_dns_cache=30,
                ssl=context or True,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_NOT_ADDED,
            auto_decompress=False,
            trust_env=False,
            requote_redirect_url=False,
            read_bufsize=READ_BUFFER,
            max_line_size=64 * 1024,
            max_field_size=64 * 1024,
            timeout=aiohttp.ClientTimeout(total=None, connect=timeouts.connect_s, sock_read=timeouts.read_s),
        )

    async def open(self, request: Outgoing) -> Reply:
        """Send a request and return the reply's head. Raises UpstreamFault."""
        try:
            response = await self._session.request(
                request.method,
                _url(request.upstream.origin, request.target),
                headers=_multidict(request.headers),
                data=_once(request.body),
                allow_redirects=False,
            )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _translate(error) from error
        if response.status < 100:
            response.close()
            raise UpstreamFault("upstream_garbage", f"status {response.status}")
        return AiohttpReply(response)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


class AiohttpReply:
    """A reply whose head has arrived."""

    __slots__ = ("_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers = list(response.raw_headers)

    async def read(self) -> bytes:
        """Return the next bytes, empty at the end. Raises UpstreamFault."""
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _translate(error) from error

    def rest(self) -> bytes:
        """Return what had arrived before a fault and was not read yet."""
        # aiohttp raises the fault before it gives out what is buffered, and offers no public way to it.
        return self._response.content._read_nowait(-1)  # noqa: SLF001 - see above

    def tunnel(self) -> Duplex:
        """Return the connection behind a 101, which is its holder's from then on."""
        connection = self._response.connection
        transport = connection.transport if connection is not None else None
        if connection is None or transport is None or connection.protocol is None:
            raise UpstreamFault("upstream_reset")
        # What the upstream sent right behind its head; aiohttp keeps it for its own WebSocket reader.
        return StreamDuplex(transport, connection.protocol._tail)  # noqa: SLF001 - see above

    async def close(self) -> None:
        """Close the upstream connection unless the reply was read to its end."""
        self._response.close()


def _url(origin: str, target: bytes) -> URL:
    raw = target.decode("ascii")
    url = URL(origin + raw, encoded=True)
    if url.raw_path_qs != raw:
        # yarl loses an empty query's question mark, and has no public way to keep it.
        url._cache["raw_path_qs"] = raw  # noqa: SLF001 - see above
    return url


def _multidict(headers: list[tuple[bytes, bytes]]) -> CIMultiDict[str]:
    # aiohttp writes header text as UTF-8, so reading it as such gives the same bytes back.
    return CIMultiDict(
        [(name.decode("ascii"), value.decode("utf-8", "surrogateescape")) for name, value in headers]
    )


def _once(body: Body | None) -> Body | None:
    """Guard a streamed body against being sent again on another connection: its first part is gone."""
    return body if body is None or isinstance(body, bytes) else _single_use(body)


async def _single_use(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in body:
        yield chunk


# The first class that matches names the fault; the order goes from special to general.
_FAULT_OF: tuple[tuple[type[BaseException], str], ...] = (
    (aiohttp.ConnectionTimeoutError, "upstream_connect_timeout"),
    (aiohttp.ServerTimeoutError, "upstream_timeout"),
    (TimeoutError, "upstream_timeout"),
    (aiohttp.ClientConnectorDNSError, "upstream_unresolved"),
    (aiohttp.ClientConnectorCertificateError, "upstream_tls"),
    (aiohttp.ClientSSLError, "upstream_tls"),
    (aiohttp.ClientConnectorError, "upstream_refused"),
    (aiohttp.ServerDisconnectedError, "upstream_reset"),
    (aiohttp.ClientPayloadError, "upstream_reset"),
    (aiohttp.ClientOSError, "upstream_reset"),
    (aiohttp.ClientResponseError, "upstream_garbage"),
    (aiohttp.InvalidURL, "bad_request_target"),
    (asyncio.IncompleteReadError, "upstream_reset"),
    (OSError, "upstream_reset"),
    (ValueError, "bad_request_target"),
)


def _translate(error: BaseException) -> UpstreamFault:
    if isinstance(error.__cause__, UpstreamFault):
        # The request's body ended in it.
        return error.__cause__
    code = next((code for kind, code in _FAULT_OF if isinstance(error, kind)), "upstream_reset")
    if lacks_files(error):
        code = "too_many_connections"
    return UpstreamFault(code, type(error).__name__)
