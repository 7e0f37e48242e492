"""uvicorn, set up so that it adds nothing and hides nothing.

Law: no `Server` and no `Date` of its own, no access log, no signal handlers, no lifespan. Its protocol tells a
request's server-side task at once when the connection is lost, keeps the request target as it came, frames
responses as their receiver understands them, and gives the connection up for a tunnel (see `proxy.client`). What is
refused before it is an exchange stands in `proxy.http_input`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

import uvicorn

from monitor.contract.config import Limits
from proxy.client import (
    LEAVE_EXTENSION,
    LIMIT_EXTENSION,
    TARGET_EXTENSION,
    TUNNEL_EXTENSION,
)
from proxy.file_limit import Room
from proxy.http_config import EdgeConfig
from proxy.http_cycle import Cycle, HeadJoiner, OldCycle
from proxy.http_ending import KEEP_ALIVE_S
from proxy.http_input import InputProtocol
from proxy.tunnel import StreamDuplex

BACKLOG = 2048


class FaithfulProtocol(InputProtocol):
    """uvicorn's protocol with the extensions of `proxy.client`."""

    _on_leave: Callable[[], None] | None = None

    def _serve(self, version: str, method: str, *, handshake: bool) -> None:
        """Start serving a request, or queue it behind the one that runs (uvicorn's own, less what is not used)."""
        scope, running = self.scope, self.cycle
        scope["http_version"] = version
        scope["method"] = method
        scope["raw_path"], _, scope["query_string"] = self.url.partition(b"?")
        path = scope["raw_path"].decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        self.cycle = (Cycle if version == "1.1" else OldCycle)(
            scope=scope,
            transport=HeadJoiner(self.transport, self.loop),  # type: ignore[arg-type]
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
        self.cycle.hang_up = self.hang_up
        waits = running is not None and not running.response_complete
        self._extend(may_switch=handshake and not waits)
        if waits:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))
        else:
            self._start_asgi_task(self.cycle, self.app)

    def on_response_complete(self) -> None:
        """Go on with what is queued, or be idle (uvicorn's own, without a timer for each response)."""
        self.server_state.total_requests += 1
        if not self._after_response():
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._awaited_since = self.loop.time()

    def _extend(self, *, may_switch: bool) -> None:
        extensions: dict[str, Any] = {
            LEAVE_EXTENSION: self._tell_leave,
            TARGET_EXTENSION: self.url,
            LIMIT_EXTENSION: self.config.limits.body_bytes,
        }
        if may_switch:
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
        self._stop_timers()
        return StreamDuplex(self.transport, bytes(self._behind or b""))

    def _leave(self) -> None:
        if self._on_leave is not None:
            self._on_leave()
            self._on_leave = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever serves the running request."""
        super().connection_lost(exc)
        self._leave()


class QuietServer(uvicorn.Server):
    """A uvicorn server that leaves signals to its owner and says when it stops accepting."""

    config: EdgeConfig

    def __init__(self, config: EdgeConfig, on_drain: Callable[[], None] = lambda: None) -> None:
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


def make_server(
    app: Any,
    drain_s: float,
    on_drain: Callable[[], None] = lambda: None,
    *,
    limits: Limits | None = None,
    count: Callable[[str], None] = lambda _: None,
    room: Room | None = None,
) -> QuietServer:
    """Make a server for an ASGI application; serve it with `await server.serve(sockets=[...])`."""
    config = EdgeConfig(
        app,
        limits=limits or Limits(),
        count=count,
        room=room,
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
