"""Our own client: how it writes requests, names faults, keeps connections and never sends twice what may act."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from monitor.contract.config import Timeouts
from proxy.faults import UpstreamFault
from proxy.transport import Body, Outgoing, Reply, Transport, http1_client, parse_upstream
from proxy.transport.http1_client import Http1Transport, parse_origin, request_head
from tests.proxy.wire import answer, read_message

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
QUICK = Timeouts(connect_s=20.0, read_s=0.3)


@asynccontextmanager
async def upstream(
    serve: Serve, make: Callable[[Timeouts], Transport] = Http1Transport, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Transport, str]]:
    """Serve a script on a port of its own, with a transport that asks it."""

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()

    serving: set[asyncio.Task[object]] = set()
    server = await asyncio.start_server(closing, "127.0.0.1", 0, ssl=tls)
    transport = make(QUICK)
    try:
        yield transport, f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        await transport.close()
        if serving:
            await asyncio.wait(serving, timeout=2.0)
        server.close()
        await server.wait_closed()


def asking(url: str, method: str = "POST", body: Body | None = b"{}") -> Outgoing:
    """Describe a request."""
    return Outgoing(method, parse_upstream(url), b"/v1/x", [], body)


async def whole(reply: Reply) -> bytes:
    """Read a reply to its end and close it."""
    body = b""
    while part := await reply.read():
        body += part
    await reply.close()
    return body


async def fault_of(transport: Transport, request: Outgoing) -> str:
    """Return the code of the fault that a request ends in."""
    with pytest.raises(UpstreamFault) as caught:
        await whole(await transport.open(request))
    return caught.value.code


@pytest.mark.parametrize(
    ("origin", "host", "port", "line"),
    [
        ("http://model", "model", 80, b"host: model\r\n"),
        ("http://model:8000", "model", 8000, b"host: model:8000\r\n"),
        ("https://api.example:443", "api.example", 443, b"host: api.example\r\n"),
        ("https://[::1]:8443", "::1", 8443, b"host: [::1]:8443\r\n"),
        ("http://b\u00fccher.example", "xn--bcher-kva.example", 80, b"host: xn--bcher-kva.example\r\n"),
    ],
)
def test_origins(origin: str, host: str, port: int, line: bytes) -> None:
    """A scheme's own port is not named, addresses of IPv6 stand in brackets, other alphabets as Punycode."""
    assert parse_origin(origin) == (host, port, origin.startswith("https"), line)


async def parts() -> AsyncIterator[bytes]:
    """Stream a body."""
    yield b"x"


@pytest.mark.parametrize(
    ("method", "headers", "body", "framing"),
    [
        ("POST", [], b"abc", b"content-length: 3\r\n"),
        ("POST", [], None, b"content-length: 0\r\n"),
        ("GET", [], None, b""),
        ("POST", [], parts(), b"transfer-encoding: chunked\r\n"),
        ("POST", [(b"content-length", b"1")], parts(), b""),
    ],
)
def test_framing(method: str, headers: list[tuple[bytes, bytes]], body: Body | None, framing: bytes) -> None:
    """A body is framed once, as its headers say or, where they say nothing, as it is known."""
    request = Outgoing(method, parse_upstream("http://m"), b"/a?b", headers, body)
    kept = b"".join(b"%b: %b\r\n" % pair for pair in headers)
    expected = b"%b /a?b HTTP/1.1\r\nhost: m\r\n%b%b\r\n" % (method.encode(), kept, framing)
    assert request_head(request, parse_origin("http://m")) == expected


async def test_faults_of_connecting() -> None:
    """A name that does not resolve (RFC 2606), a port that nobody listens on, and a server that speaks no TLS."""

    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with upstream(plain) as (transport, url):
        assert await fault_of(transport, asking("http://nobody.invalid/v1")) == "upstream_unresolved"
        assert await fault_of(transport, asking(url.replace("http:", "https:"))) == "upstream_tls"
    async with upstream(plain) as (transport, _):
        assert await fault_of(transport, asking(url)) == "upstream_refused"


@pytest.mark.parametrize(("method", "sent"), [("POST", 2), ("GET", 3)])
async def test_only_what_may_be_repeated_is(method: str, sent: int) -> None:
    """A kept connection that dies under a request: a GET goes out again on another one, a POST does not."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(1 if asked else 2):
            asked.append((await read_message(reader)).line)
            if len(asked) != 2:
                writer.write(answer(b"ok"))
                await writer.drain()

    async with upstream(serve) as (transport, url):
        assert await whole(await transport.open(asking(url, method, None))) == b"ok"
        if method == "GET":
            assert await whole(await transport.open(asking(url, method, None))) == b"ok"
        else:
            assert await fault_of(transport, asking(url, method, None)) == "upstream_reset"
    assert len(asked) == sent


async def test_idle_connections_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the upstream would close them."""
    monkeypatch.setattr(http1_client, "KEEP_ALIVE_S", 0.05)
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(answer(b"ok"))
        await reader.read()
        ended.set()

    async with upstream(serve) as (transport, url):
        await whole(await transport.open(asking(url)))
        await asyncio.wait_for(ended.wait(), 2)


async def test_a_reply_closed_early_ends_its_connection() -> None:
    """Nobody else gets what was still to come, and a reply that is closed reads as ended."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        await reader.read()
        ended.set()

    async with upstream(serve) as (transport, url):
        reply = await transport.open(asking(url))
        assert await reply.read() == b"half"
        await reply.close()
        assert await reply.read() == b""
        await asyncio.wait_for(ended.wait(), 2)
