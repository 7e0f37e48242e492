"""httpcore's connections in our own pool: which serve again, and which uploads stop."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from monitor.contract.config import Timeouts
from proxy.transport import Transport
from proxy.transport.aiohttp_client import AiohttpTransport
from proxy.transport.http1_client import Http1Transport
from proxy.transport.httpx_client import HttpxTransport
from tests.proxy.certificates import authority
from tests.proxy.transport.test_http1_client import asking, upstream, whole
from tests.proxy.transport.test_http1_connection import Script
from tests.proxy.wire import answer, read_message

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("first", "connections"),
    [
        (answer(b"ok"), 1),
        (CHUNKED, 1),
        (answer(b"ok", b"connection: close"), 2),
        (answer(b"ok") + b"leftover", 2),
        (answer(b"ok") + answer(b"evil"), 2),
        (CHUNKED + answer(b"evil"), 2),
    ],
    ids=["length", "chunks", "says close", "leftover", "second answer", "second behind chunks"],
)
async def test_only_a_clean_connection_serves_again(first: bytes, connections: int) -> None:
    """What an upstream sends behind its answer is nobody's answer."""
    script = Script(first, answer(b"next"))
    async with upstream(script, HttpxTransport) as (transport, url):
        assert await whole(await transport.open(asking(url))) == b"ok"
        assert await whole(await transport.open(asking(url))) == b"next"
    assert script.connections == connections


async def test_a_connection_that_was_closed_meanwhile_is_not_used() -> None:
    """A POST on it would be lost."""
    script = Script(answer(b"ok"), answer(b"next"), then_close=True)
    async with upstream(script, HttpxTransport) as (transport, url):
        assert await whole(await transport.open(asking(url))) == b"ok"
        await asyncio.sleep(0.05)
        assert await whole(await transport.open(asking(url))) == b"next"
    assert script.connections == 2


async def _never_ending(sent: list[int], pause_s: float) -> AsyncIterator[bytes]:
    for _ in range(40):
        sent.append(1)
        yield b"x" * 100
        await asyncio.sleep(pause_s)


Make = Callable[[Timeouts], Transport]


async def _upload_refused(make: Make, pause_s: float, tls: ssl.SSLContext | None = None) -> int:
    """Upload 40 parts to an upstream that refuses after the head; return how many were sent."""
    sent: list[int] = []

    async def refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(b"no", status=b"413 Large"))
        await reader.read()

    async with upstream(refusing, make, tls) as (transport, url):
        reply = await transport.open(asking(url, body=_never_ending(sent, pause_s)))
        assert reply.status == 413
        assert await whole(reply) == b"no"
    return len(sent)


@pytest.mark.parametrize("pause_s", [0.01, 0.2], ids=["busy", "waiting"])
async def test_an_upload_stops_when_it_is_answered(pause_s: float) -> None:
    """While parts are sent, and while the client is waited for."""
    assert await _upload_refused(HttpxTransport, pause_s) < 30


@pytest.mark.parametrize(
    "transport",
    [
        "http1",
        "aiohttp",
        pytest.param(
            "httpx",
            marks=pytest.mark.xfail(
                reason="httpcore hides what has arrived over TLS until it is read", strict=True
            ),
        ),
    ],
)
async def test_an_upload_over_tls_stops_when_it_is_answered(tmp_path: Path, transport: str) -> None:
    """Where the transport can tell without reading."""
    ours = authority(tmp_path)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(*ours.issue("upstream"))
    trusting = ssl.create_default_context(cafile=ours.file)
    made: dict[str, Make] = {
        "http1": partial(Http1Transport, context=trusting),
        "aiohttp": partial(AiohttpTransport, context=trusting),
        "httpx": partial(HttpxTransport, context=trusting),
    }
    assert await _upload_refused(made[transport], 0.01, serving) < 30


async def test_an_interim_answer_stops_no_upload() -> None:
    """It is none."""
    bodies = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n")
        rest = asyncio.StreamReader()
        rest.feed_data(head + await reader.readuntil(b"0\r\n\r\n"))
        bodies.append((await read_message(rest)).body)
        writer.write(answer(b"ok"))

    async with upstream(serve, HttpxTransport) as (transport, url):
        assert await whole(await transport.open(asking(url, body=_never_ending([], 0.002)))) == b"ok"
    assert bodies == [b"x" * 4000]


async def test_many_at_once_each_get_their_own() -> None:
    """Two hundred requests twice: no connection more than were needed at once."""
    seen = [0]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen[0] += 1
        while True:
            asked = await read_message(reader)
            writer.write(answer(asked.body))

    async def one(transport: Transport, url: str, i: int) -> bool:
        body = b"%d" % i
        return await whole(await transport.open(asking(url, body=body))) == body

    # Two hundred at once take as long as the machine makes them.
    patient = Timeouts(connect_s=60.0, read_s=60.0)
    async with upstream(serve, lambda _: HttpxTransport(patient)) as (transport, url):
        for _ in range(2):
            assert all(await asyncio.gather(*(one(transport, url, i) for i in range(200))))
    assert seen[0] <= 200
