"""What the proxy's tests stand on: a raw upstream, a raw client, and the real forwarder on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from monitor.bus import Bus
from monitor.bus.memory import MemoryBus
from monitor.contract import Exchange
from monitor.contract.config import Config, load_config
from proxy.app import ProxyApp
from proxy.assemble import Assembler
from proxy.forward import Forwarder, Site
from proxy.http_server import make_server
from proxy.mirror import Clock, Mirror, MirrorWriter
from proxy.redact import Redactor
from proxy.routing import arms, build_router
from proxy.scoreboard import Scoreboard
from proxy.status import Surroundings
from proxy.transport.open import open_transports
from proxy.verdicts import VerdictBoard
from tests.proxy.wire import Asked, Handler, post, read_message, until


class Stand:
    """A forwarder with its mirror on a real port, an upstream's handler behind it, and a bus in memory."""

    def __init__(
        self, config: Config, directory: Path, open_bus: Callable[[], Bus], assemble: Assembler
    ) -> None:
        self.board = Scoreboard(directory / "proxy", "test")
        router = build_router(config)
        self.mirror = Mirror(config.mirror, self.board, b"salt", Clock())
        self.writer = MirrorWriter(self.mirror, self.board, assemble, open_bus, config.mirror.flush_s)
        self.verdicts = VerdictBoard(arms(router), 60.0)
        self.transports = open_transports(config)
        self.forwarder = Forwarder(
            Site(
                router, self.transports, self.mirror, self.board, self.verdicts, config.proxy.headers == "on"
            )
        )
        view = Surroundings(config, "0", directory / "proxy", self.verdicts, lambda: True, time.time)
        self.server = make_server(ProxyApp(self.forwarder, view), config.proxy.drain_s)
        self.port = 0
        self.bus = MemoryBus()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a raw connection to the proxy."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, request: bytes) -> Asked:
        """Send raw bytes, return the response."""
        reader, writer = await self.connect()
        writer.write(request)
        try:
            return await read_message(reader)
        finally:
            writer.close()

    async def post(self, body: bytes, path: bytes = b"/v1/chat/completions", *headers: bytes) -> Asked:
        """POST a body."""
        return await self.ask(post(body, path, *headers))

    def counters(self) -> dict[str, int]:
        """Return what was counted, without what is zero."""
        return {name: value for name, value in self.board.counters().values.items() if value}

    async def exchanges(self, at_least: int = 1) -> list[Exchange]:
        """Wait until so many exchanges are on the bus and return them all."""
        await until(lambda: self.bus.stats().published >= at_least)
        return [exchange for batch in self.bus.fetch("test", 1000, 0.0, 0.0) for exchange in batch.exchanges]


Start = Callable[..., contextlib.AbstractAsyncContextManager[Stand]]


@pytest.fixture
def stand(tmp_path: Path) -> Start:
    """Return a factory of stands; keyword arguments are configuration keys, `__` for the point."""

    @contextlib.asynccontextmanager
    async def start(
        handler: Handler, *, bus: Callable[[], Bus] | None = None, **overrides: object
    ) -> AsyncIterator[Stand]:
        upstream = await asyncio.start_server(_closing(handler), "127.0.0.1", 0, limit=2**20)
        port = upstream.sockets[0].getsockname()[1]
        keys: dict[str, object] = {"proxy.upstream": f"http://127.0.0.1:{port}/v1", "mirror.flush_s": 0.01}
        keys |= {key.replace("__", "."): value for key, value in overrides.items()}
        config = load_config(None, keys)
        redactor = Redactor(config.mirror.redact, config.mirror.redact_patterns)
        memory = MemoryBus()
        running = Stand(config, tmp_path, bus or (lambda: memory), Assembler(redactor, b"salt", 2**24))
        running.bus = memory
        listener = socket.create_server(("127.0.0.1", 0))
        running.port = listener.getsockname()[1]
        running.writer.start()
        serving = asyncio.create_task(running.server.serve(sockets=[listener]))
        try:
            yield running
        finally:
            running.server.force_exit = True
            running.server.should_exit = True
            await serving
            for transport in running.transports.values():
                await transport.close()
            await asyncio.to_thread(running.writer.stop, 1.0)
            upstream.close()
            running.board.close()

    return start


def _closing(handler: Handler) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        writer.close()

    return handle


class HungBus(MemoryBus):
    """A bus that never comes back from publishing."""

    def publish(self, *_: object) -> int:
        """Hang."""
        threading.Event().wait(30.0)
        return 0


@pytest.fixture
def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
