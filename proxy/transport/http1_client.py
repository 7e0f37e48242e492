"""The transport that is ours: HTTP/1.1 over asyncio and llhttp, with nothing between the forwarder and the socket.

Law: a request is sent on an idle connection to its origin if the kernel knows of one that is open and silent, else on
a new one; it is sent once. Only a method that may be repeated (RFC 9110 section 9.2.2) is, on a new connection, when
a kept one ended before a byte of answer. Idle connections are kept for less than the 5 s after which the usual Python
servers close theirs. Certificates are verified.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from monitor.contract.config import Timeouts
from proxy.faults import UpstreamFault
from proxy.file_limit import lacks_files
from proxy.headers import value_of
from proxy.transport import Outgoing, Reply
from proxy.transport.http1_connection import Connection
from proxy.tunnel import Duplex

KEEP_ALIVE_S = 4.0
ADDRESSES_KEPT_S = 30.0
REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
HAVING_BODIES = frozenset({"POST", "PUT", "PATCH"})


class Origin(NamedTuple):
    """An origin, taken apart."""

    host: str
    port: int
    encrypted: bool
    # The `Host` line of a request to it.
    line: bytes


def parse_origin(origin: str) -> Origin:
    """Take `scheme://host:port` apart; the scheme's own port is not named in `Host`."""
    parts = urlsplit(origin)
    encrypted = parts.scheme == "https"
    own = 443 if encrypted else 80
    host = parts.hostname or ""
    if not host.isascii():
        host = host.encode("idna").decode()
    shown = f"[{host}]" if ":" in host else host
    port = parts.port or own
    named = shown if port == own else f"{shown}:{port}"
    return Origin(host, port, encrypted, b"host: " + named.encode() + b"\r\n")


def request_head(request: Outgoing, origin: Origin) -> bytes:
    """Write a request's head: line, Host, headers as they came, and the framing where they name none."""
    rows = [request.method.encode(), b" ", request.target, b" HTTP/1.1\r\n", origin.line]
    for name, value in request.headers:
        rows += (name, b": ", value, b"\r\n")
    rows.append(_framing(request))
    rows.append(b"\r\n")
    return b"".join(rows)


def _framing(request: Outgoing) -> bytes:
    if value_of(request.headers, b"content-length"):
        return b""
    if isinstance(request.body, bytes):
        return b"content-length: %d\r\n" % len(request.body)
    if request.body is not None:
        return b"transfer-encoding: chunked\r\n"
    return b"content-length: 0\r\n" if request.method in HAVING_BODIES else b""


class Http1Transport:
    """Keeps connections; belongs to the loop it was made in."""

    def __init__(self, timeouts: Timeouts, context: ssl.SSLContext | None = None) -> None:
        self._timeouts = timeouts
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._origins: dict[str, Origin] = {}
        self._addresses: dict[Origin, tuple[float, Sequence[Any]]] = {}
        # In the order in which they were given back.
        self._idle: dict[Origin, dict[Connection, None]] = {}
        self._open: set[Connection] = set()
        self._sweeping: asyncio.TimerHandle | None = None

    async def open(self, request: Outgoing) -> Reply:
        """Send a request and return the reply's head. Raises UpstreamFault."""
        origin = self._origins.get(request.upstream.origin)
        if origin is None:
            origin = self._origins[request.upstream.origin] = parse_origin(request.upstream.origin)
        kept = self._take(origin)
        if kept is not None:
            try:
                return await self._ask(kept, request, origin)
            except UpstreamFault as fault:
                if fault.code != "upstream_reset" or kept.heard or not _repeatable(request):
                    raise
        return await self._ask(await self._connect(origin), request, origin)

    async def _ask(self, connection: Connection, request: Outgoing, origin: Origin) -> Reply:
        body, answered = request.body, False
        try:
            if body is None or isinstance(body, bytes):
                connection.ask(request.method, request_head(request, origin), body)
            else:
                connection.ask(request.method, request_head(request, origin), None)
                connection.upload(body, chunked=not value_of(request.headers, b"content-length"))
            await connection.answered()
            answered = True
        finally:
            if not answered:
                connection.abort()
        return Http1Reply(self, connection, origin)

    def _take(self, origin: Origin) -> Connection | None:
        idle = self._idle.get(origin)
        while idle:
            connection, _ = idle.popitem()
            if connection.usable():
                return connection
            connection.abort()
        return None

    def give_back(self, connection: Connection, origin: Origin) -> None:
        """Keep a connection whose exchange is over, if it can serve another one."""
        if not connection.rest_idle():
            connection.abort()
            return
        self._idle.setdefault(origin, {})[connection] = None
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(KEEP_ALIVE_S, self._sweep)

    def _sweep(self) -> None:
        """Close what has been idle for too long."""
        now = self._loop.time()
        waiting: list[float] = []
        for idle in self._idle.values():
            for connection in list(idle):
                left = connection.idle_since + KEEP_ALIVE_S - now
                if left > 0.001:
                    waiting.append(left)
                    break
                del idle[connection]
                connection.abort()
        self._sweeping = self._loop.call_later(min(waiting), self._sweep) if waiting else None

    def forget(self, connection: Connection) -> None:
        """Hear that a connection has ended or is somebody else's."""
        self._open.discard(connection)
        for idle in self._idle.values():
            idle.pop(connection, None)

    async def _connect(self, origin: Origin) -> Connection:
        try:
            async with asyncio.timeout(self._timeouts.connect_s):
                return await self._reach(origin)
        except TimeoutError as error:
            raise UpstreamFault("upstream_connect_timeout") from error
        except (socket.gaierror, UnicodeError) as error:
            raise UpstreamFault("upstream_unresolved", type(error).__name__) from error
        except ssl.SSLError as error:
            raise UpstreamFault("upstream_tls", type(error).__name__) from error
        except OSError as error:
            code = "too_many_connections" if lacks_files(error) else "upstream_refused"
            raise UpstreamFault(code, type(error).__name__) from error

    async def _reach(self, origin: Origin) -> Connection:
        """Try the host's addresses one after the other. Raises OSError."""
        failed: OSError = socket.gaierror(socket.EAI_NONAME, "no address")
        for address in await self._resolve(origin):
            try:
                return await self._dial(origin, address[4][0])
            except ssl.SSLError:
                raise
            except OSError as error:
                failed = error
        self._addresses.pop(origin, None)
        raise failed

    async def _dial(self, origin: Origin, address: str) -> Connection:
        encrypted: dict[str, Any] = {}
        if origin.encrypted:
            self._context = self._context or ssl.create_default_context()
            encrypted = {"ssl": self._context, "server_hostname": origin.host}
            encrypted["ssl_handshake_timeout"] = self._timeouts.connect_s

        def made() -> Connection:
            return Connection(self._timeouts.read_s, self.forget)

        try:
            _, connection = await self._loop.create_connection(made, address, origin.port, **encrypted)
        except (ConnectionResetError, ConnectionAbortedError) as error:
            if origin.encrypted:
                raise ssl.SSLError("the handshake was broken off") from error
            raise
        self._open.add(connection)
        return connection

    async def _resolve(self, origin: Origin) -> Sequence[Any]:
        now = self._loop.time()
        known = self._addresses.get(origin)
        if known is None or now - known[0] > ADDRESSES_KEPT_S:
            found = await self._loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
            known = self._addresses[origin] = (now, found)
        return known[1]

    async def close(self) -> None:
        """Close all connections."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for connection in list(self._open):
            connection.abort()
        # Their ends are told in the loop's next turn.
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)


def _repeatable(request: Outgoing) -> bool:
    return request.method in REPEATABLE and (request.body is None or isinstance(request.body, bytes))


class Http1Reply:
    """A reply whose head has arrived."""

    __slots__ = ("_connection", "_origin", "_transport", "headers", "status")

    def __init__(self, transport: Http1Transport, connection: Connection, origin: Origin) -> None:
        self._transport = transport
        self._connection: Connection | None = connection
        self._origin = origin
        self.status = connection.status
        self.headers = connection.headers

    async def read(self) -> bytes:
        """Return the next bytes, empty at the end. Raises UpstreamFault."""
        return b"" if self._connection is None else await self._connection.read()

    def rest(self) -> bytes:
        """Return nothing: bytes are given out before a fault."""
        return b""

    def tunnel(self) -> Duplex:
        """Return the connection behind a 101, which is its holder's from then on."""
        if self._connection is None:
            raise UpstreamFault("upstream_reset")
        self._transport.forget(self._connection)
        return self._connection.take_over()

    async def close(self) -> None:
        """Give a connection read to its end back; close any other at once."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._transport.give_back(connection, self._origin)
