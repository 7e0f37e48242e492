"""uvicorn, set up so that it adds nothing and hides nothing.

Law: no `Server` and no `Date` of its own, no access log, no signal handlers, no lifespan, no WebSocket takeover. Its
protocol tells a request's server-side task at once when the connection is lost (see `proxy.client`).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from proxy.client import LEAVE_EXTENSION

# Longer than what clients keep idle connections for, so that they close first (nginx's default).
KEEP_ALIVE_S = 75
BACKLOG = 2048


class LeaveTellingProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which also calls back when its client's connection is lost."""

    _on_leave: Callable[[], None] | None = None

    def on_message_begin(self) -> None:
        """Offer the callback in the request's scope."""
        super().on_message_begin()
        # ASGI lets a server put anything there; its types say dictionaries.
        self.scope["extensions"] = {LEAVE_EXTENSION: self._tell_leave}  # type: ignore[dict-item]

    def _tell_leave(self, callback: Callable[[], None]) -> None:
        # Pipelined requests run one after the other, so the latest to register is the one that runs.
        self._on_leave = callback

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
        http=LeaveTellingProtocol,
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
