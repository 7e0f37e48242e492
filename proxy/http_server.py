"""uvicorn, set up so that it adds nothing and hides nothing.

Law: no `Server` and no `Date` of its own, no access log, no signal handlers, no lifespan. Its protocol tells a
request's server-side task at once when the connection is lost, keeps the request target as it came, frames
responses as their receiver understands them, and gives the connection up for a tunnel (see `proxy.client`).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from proxy.client import BODYLESS_EXTENSION, LEAVE_EXTENSION, TARGET_EXTENSION, TUNNEL_EXTENSION
from proxy.faults import fault_answer
from proxy.tunnel import StreamDuplex

# Longer than what clients keep idle connections for, so that they close first (nginx's default).
KEEP_ALIVE_S = 75
BACKLOG = 2048
# SO_LINGER: what closing a socket sends.
_RESET, _FIN = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)
_RESET_ON_CLOSE, _FIN_ON_CLOSE = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)


class Cycle(RequestResponseCycle):
    """uvicorn's cycle of one request and its response."""

    def bodyless(self) -> None:
        """Expect no body, whatever the head says: a 304 names the length of its 200 (RFC 9110 section 8.6)."""
        self.expected_content_length = 0


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


class FaithfulProtocol(HttpToolsProtocol):
    """uvicorn's protocol with the extensions of `proxy.client`."""

    _on_leave: Callable[[], None] | None = None

    def on_headers_complete(self) -> None:
        """Start serving a request, or queue it behind the one that runs (uvicorn's own, less what is not used)."""
        if not self.url.startswith(b"/"):
            # Absolute-form is for open proxies, which this is not: the upstream is fixed by configuration.
            raise ValueError("the request target is no path")
        scope, running = self.scope, self.cycle
        version = self.parser.get_http_version()
        scope["http_version"] = version
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["raw_path"], _, scope["query_string"] = self.url.partition(b"?")
        scope["path"] = unquote(scope["raw_path"].decode("ascii"))
        self.cycle = (Cycle if version == "1.1" else OldCycle)(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version == "1.1" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        waits = running is not None and not running.response_complete
        self._extend(self.cycle, may_switch=not waits)
        if waits:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))
        else:
            self._start_asgi_task(self.cycle, self.app)

    def _extend(self, cycle: Cycle, *, may_switch: bool) -> None:
        extensions: dict[str, Any] = {
            LEAVE_EXTENSION: self._tell_leave,
            TARGET_EXTENSION: self.url,
            BODYLESS_EXTENSION: cycle.bodyless,
        }
        if self.parser.should_upgrade() and may_switch and self._get_upgrade() == b"websocket":
            extensions[TUNNEL_EXTENSION] = self._take_over
        # ASGI lets a server put anything there; its types say dictionaries.
        self.scope["extensions"] = extensions

    def _tell_leave(self, callback: Callable[[], None]) -> None:
        # Pipelined requests run one after the other, so the latest to register is the one that runs.
        self._on_leave = callback

    def _take_over(self, headers: list[tuple[bytes, bytes]]) -> StreamDuplex:
        """Answer 101 with these headers and give the connection up."""
        rows = [b"HTTP/1.1 101 Switching Protocols", *(name + b": " + value for name, value in headers)]
        self.transport.write(b"\r\n".join([*rows, b"", b""]))
        # uvicorn is to write nothing any more and has nothing to close.
        self.cycle.disconnected = True
        self.connections.discard(self)
        return StreamDuplex(self.transport)

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: whether an upgrade is supported is the upstream's to say."""

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words are not OpenAI's
        """Refuse what is not HTTP, in OpenAI's shape; behind a response that has begun, just hang up."""
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            answer = fault_answer("malformed_request")
            headers = [*answer.headers, (b"connection", b"close")]
            rows = [b"HTTP/1.1 400 Bad Request", *(name + b": " + value for name, value in headers)]
            self.transport.write(b"\r\n".join([*rows, b"", answer.body]))
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever serves the running request."""
        super().connection_lost(exc)
        if self._on_leave is not None:
            self._on_leave()
            self._on_leave = None


class QuietServer(uvicorn.Server):
    """A uvicorn server that leaves signals to its owner and says when it stops accepting."""

    def __init__(self, config: uvicorn.Config, on_drain: Callable[[], None] = lambda: None) -> None:
        super().__init__(config)
        self._on_drain = on_drain

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def shutdown(self, sockets: Any = None) -> None:
        """Stop accepting, let running responses finish, cancel those that do not and wait for their ends."""
        self._on_drain()
        await super().shutdown(sockets)
        if tasks := set(self.server_state.tasks):
            await asyncio.wait(tasks, timeout=1.0)

    def stop(self) -> None:
        """Begin to stop; asked twice, do not wait for running responses."""
        self.force_exit = self.should_exit
        self.should_exit = True


def make_server(app: Any, drain_s: float, on_drain: Callable[[], None] = lambda: None) -> QuietServer:
    """Make a server for an ASGI application; serve it with `await server.serve(sockets=[...])`."""
    config = uvicorn.Config(
        app,
        http=FaithfulProtocol,
        ws="none",
        loop="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(drain_s),
        backlog=BACKLOG,
    )
    return QuietServer(config, on_drain)
