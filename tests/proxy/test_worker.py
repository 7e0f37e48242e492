"""Leaving: not ready at once, a lame duck for a while, then nothing new, and what runs comes to its end."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from urllib.parse import urlsplit

from monitor.bus.open import open_bus
from monitor.contract.config import load_config
from tests.proxy.processes import RunningProxy
from tests.proxy.wire import answer, post, read_message

STREAMS, LAME_DUCK_S = 200, 1.5
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
QUICK = b'{"model":"m","choices":[{"index":0,"message":{"content":"y"},"finish_reason":"stop"}]}'


def chunk(data: bytes) -> bytes:
    """Write a chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Upstream:
    """Streams wait for `go` between their two events; everything else is answered at once."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection's one request."""
        if b"stream" in (await read_message(reader)).body:
            writer.write(HEAD + chunk(EVENT))
            await self.go.wait()
            writer.write(chunk(DONE) + b"0\r\n\r\n")
        else:
            writer.write(answer(QUICK, b"connection: close"))
        await writer.drain()
        writer.close()


class Leaving:
    """A proxy that is told to leave while streams run through it."""

    def __init__(self, proxy: RunningProxy) -> None:
        self.proxy = proxy
        parts = urlsplit(proxy.base)
        self.address = (parts.hostname or "", parts.port or 0)
        self.told = 0.0

    async def stream(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Begin a stream and read up to its first event."""
        reader, writer = await asyncio.open_connection(*self.address)
        writer.write(post(b'{"model":"m","stream":true,"messages":[]}'))
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(chunk(EVENT)))
        return reader, writer

    async def quick(self) -> bool:
        """Ask on a new connection; False when it is refused."""
        try:
            reader, writer = await asyncio.open_connection(*self.address)
        except ConnectionRefusedError:
            return False
        writer.write(post(b'{"model":"m","messages":[]}'))
        try:
            return b" 200 " in (await read_message(reader)).line
        except (ConnectionError, asyncio.IncompleteReadError):
            return False  # accepted by the kernel in the moment of closing
        finally:
            writer.close()

    async def ready(self, base: str) -> bool:
        """Ask for readiness."""
        return await asyncio.to_thread(self.proxy.get, base + "/-/readyz") is not None

    def tell(self) -> None:
        """Send SIGTERM to the parent."""
        self.told = time.monotonic()
        self.proxy.process.send_signal(signal.SIGTERM)

    @property
    def since(self) -> float:
        """Seconds since it was told."""
        return time.monotonic() - self.told


async def test_sigterm_under_200_streams(tmp_path: Path) -> None:
    """Every stream ends whole, new ones are served until the lame duck's end and refused after it, nothing is lost."""
    upstream = Upstream()
    server = await asyncio.start_server(upstream, "127.0.0.1", 0, backlog=2 * STREAMS)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    config = {"proxy": {"upstream": url, "workers": 2, "lame_duck_s": LAME_DUCK_S, "drain_s": 30.0}}
    with await asyncio.to_thread(RunningProxy, tmp_path, config) as proxy:
        leaving, served = Leaving(proxy), 0
        streams = await asyncio.gather(*(leaving.stream() for _ in range(STREAMS)))
        leaving.tell()
        for base in (proxy.admin, proxy.base):
            while await leaving.ready(base):
                assert leaving.since < LAME_DUCK_S
        assert await leaving.quick()
        served += 1
        while await leaving.quick():
            served += 1
            assert leaving.since < LAME_DUCK_S + 5.0
            await asyncio.sleep(0.02)
        assert leaving.since >= LAME_DUCK_S
        upstream.go.set()
        for reader, writer in streams:
            assert await reader.readexactly(len(chunk(DONE)) + 5) == chunk(DONE) + b"0\r\n\r\n"
            writer.close()
        assert await asyncio.to_thread(proxy.process.wait, 20) == 0
    server.close()
    bus = open_bus(load_config(tmp_path / "config.yaml"))
    exchanges = [each for batch in bus.fetch("t", 1000, time.time(), 0.0) for each in batch.exchanges]
    bus.close()
    assert len(exchanges) == STREAMS + served
    assert all(exchange.complete for exchange in exchanges)


async def test_a_second_sigterm_ends_the_lame_duck(tmp_path: Path) -> None:
    """Who is in a hurry says it twice."""
    server = await asyncio.start_server(Upstream(), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    config = {"proxy": {"upstream": url, "lame_duck_s": 60.0}}
    with await asyncio.to_thread(RunningProxy, tmp_path, config) as proxy:
        leaving = Leaving(proxy)
        leaving.tell()
        while await leaving.ready(proxy.admin):
            assert leaving.since < 5.0
        assert await leaving.quick()
        proxy.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(proxy.process.wait, 20) == 0
    server.close()
