"""httpx's faults are told apart as finely as the default transport's."""

from __future__ import annotations

import asyncio

import pytest

from monitor.contract.config import Timeouts
from proxy.faults import UpstreamFault
from proxy.transport import Outgoing, parse_upstream
from proxy.transport.httpx_client import HttpxTransport


async def fault_of(url: str) -> str:
    """Return the code of the fault that asking this upstream ends in."""
    transport = HttpxTransport(Timeouts(connect_s=2.0, read_s=2.0))
    try:
        with pytest.raises(UpstreamFault) as caught:
            await transport.open(Outgoing("GET", parse_upstream(url), b"/v1/models", [], None))
    finally:
        await transport.close()
    return caught.value.code


async def test_a_name_that_does_not_resolve_is_no_refusal() -> None:
    """`.invalid` never resolves (RFC 2606)."""
    assert await fault_of("http://nobody.invalid/v1") == "upstream_unresolved"


async def test_a_refused_connection_and_a_broken_handshake() -> None:
    """Nobody listens; or somebody who does not speak TLS."""

    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await fault_of(f"https://127.0.0.1:{port}/v1") == "upstream_tls"
    server.close()
    await server.wait_closed()
    assert await fault_of(f"http://127.0.0.1:{port}/v1") == "upstream_refused"
