"""What the proxy's tests stand on: a raw upstream, a raw client, and the real forwarder on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.bus import Bus
from monitor.bus.memory import MemoryBus
from monitor.contract import Exchange
from monitor.contract.config import Config, load_config
from proxy.app import ProxyApp
from proxy.assemble import Assembler
from proxy.forward import Forwarder, Site
from proxy.http_server import FaithfulProtocol, make_server
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
                router,
                self.transports,
                self.mirror,
                self.board,
                self.verdicts,
                config.proxy.headers == "on",
                config.proxy.server_timing,
            )
        )
        view = Surroundings(config, "0", directory / "proxy", self.verdicts, lambda: True, time.time)
        self.server = make_server(
            ProxyApp(self.forwarder, view),
            config.proxy.drain_s,
            limits=config.proxy.limits,
            count=self.board.add,
        )
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
        # uvicorn's own start and stop take 0.2 s of sleeping, which fifty tests can do without.
        server = running.server
        server.config.load()

        def connected() -> asyncio.Protocol:
            return FaithfulProtocol(server.config, server.server_state, {})

        serving = await asyncio.get_running_loop().create_server(connected, sock=listener)
        try:
            yield running
        finally:
            serving.close()
            for connection in list(server.server_state.connections):
                connection.transport.close()
            if tasks := set(server.server_state.tasks):
                await asyncio.wait(tasks, timeout=2.0)
            for transport in running.transports.values():
                await transport.close()
            ended = await asyncio.to_thread(running.writer.stop, 1.0)
            upstream.close()
            if ended:  # a writer that hangs, as in a worker, still holds the board
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


class Model(http.server.BaseHTTPRequestHandler):
    """A model that answers like OpenAI: chat (whole, streamed, tools), embeddings, models, errors."""

    protocol_version = "HTTP/1.1"
    # Seconds between a stream's events.
    pace_s = 0.0

    def do_GET(self) -> None:
        """List models."""
        self._json(
            200, {"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "x"}]}
        )

    def do_POST(self) -> None:
        """Answer by path and model."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.headers.get("authorization") == "Bearer wrong":
            self._json(
                401,
                {"error": {"message": "bad key", "type": "auth", "param": None, "code": "invalid_api_key"}},
            )
        elif self.path.endswith("/embeddings"):
            data = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]
            self._json(
                200,
                {
                    "object": "list",
                    "model": "m",
                    "data": data,
                    "usage": {"prompt_tokens": 1, "total_tokens": 1},
                },
            )
        elif asked.get("stream"):
            self._stream()
        else:
            self._json(200, self._chat(asked))

    def _chat(self, asked: dict[str, Any]) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": "Hello world"}
        if asked.get("tools"):
            call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for word, finish in (("Hello ", None), ("world", None), (None, "stop")):
            choice = {"index": 0, "delta": {"content": word} if word else {}, "finish_reason": finish}
            event = {
                "id": "1",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "m",
                "choices": [choice],
            }
            self._chunk(b"data: " + json.dumps(event).encode() + b"\n\n")
            time.sleep(self.pace_s)
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n" % len(data) + data + b"\r\n")

    def _json(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def serve() -> Iterator[Callable[[type[http.server.BaseHTTPRequestHandler]], str]]:
    """Return a function that serves a handler on a port of its own and returns the address."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(handler: type[http.server.BaseHTTPRequestHandler]) -> str:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
