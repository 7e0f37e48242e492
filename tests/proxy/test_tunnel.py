"""Tunnels: WebSockets over real sockets, with either transport."""

from __future__ import annotations

import asyncio

import pytest

from tests.proxy.conftest import Start
from tests.proxy.wire import Asked, read_message, until

ASK = b"GET /v1/realtime HTTP/1.1\r\nhost: p\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
AGREE = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"


@pytest.fixture(params=["http1", "aiohttp", "httpx"])
def transport(request: pytest.FixtureRequest) -> str:
    """Run a test with either transport."""
    return str(request.param)


async def test_bytes_pass_both_ways(stand: Start, transport: str) -> None:
    """After the upstream's 101 bytes pass as they are, and either side's end is the other's."""

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await read_message(reader)
        assert asked.values(b"upgrade") == [b"websocket"]
        writer.write(AGREE + b"first")
        writer.write(b"echo " + await reader.readexactly(4))
        assert await reader.read() == b""

    async with stand(upstream, proxy__transport=transport) as running:
        reader, writer = await running.connect()
        writer.write(ASK)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 2)
        assert head.startswith(b"HTTP/1.1 101")
        assert b"drift-exchange" in head
        writer.write(b"\x00\xff\r\n")
        assert await asyncio.wait_for(reader.readexactly(14), 2) == b"firstecho \x00\xff\r\n"
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 3) == b""
        writer.close()
        await until(lambda: running.counters().get("ended") == 1)


async def test_a_client_that_breaks_off_ends_the_upstream(stand: Start, transport: str) -> None:
    """An aborted client takes its upstream connection along at once."""
    gone = asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(AGREE)
        try:
            await reader.read()
        finally:
            gone.set()

    async with stand(upstream, proxy__transport=transport) as running:
        reader, writer = await running.connect()
        writer.write(ASK)
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 2)
        writer.transport.abort()
        await asyncio.wait_for(gone.wait(), 1)
        await until(lambda: running.counters().get("ended") == 1)


async def test_the_model_in_the_query_decides_the_route(stand: Start) -> None:
    """With several routes a WebSocket goes where its `model` belongs, under the variant's name and key, or nowhere."""
    asked: list[Asked] = []

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await read_message(reader))
        writer.write(AGREE)

    routes = [
        {"name": "a", "match": "alpha*", "variant": {"name": "v1", "model": "real/alpha"}},
        {"name": "b", "match": "beta"},
    ]
    async with stand(upstream, routes=routes) as running:
        for model, status, route in (
            (b"beta", b"101", b"b"),
            (b"alpha-2", b"101", b"a"),
            (b"gamma", b"404", b""),
        ):
            reader, writer = await running.connect()
            writer.write(ASK.replace(b"/realtime", b"/realtime?x=1&model=" + model))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 2)
            assert head.startswith(b"HTTP/1.1 " + status)
            assert (b'route="' + route + b'"' in head) == (status == b"101")
            writer.close()
        await until(lambda: running.counters().get("ended") == 3)
        assert running.counters()["fault.model_not_routed"] == 1
    assert [each.line.split()[1] for each in asked] == [
        b"/v1/realtime?x=1&model=beta",
        b"/v1/realtime?x=1&model=real%2Falpha",
    ]
