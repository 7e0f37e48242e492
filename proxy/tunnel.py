"""Tunnels: what follows a `101 Switching Protocols`, as bytes in both directions, unread.

Law: each read is written before the next is awaited, and a slow reader slows its sender down. A side that ends its
half ends the other's (a WebSocket's closing frames have passed by then); a side that breaks breaks the other.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Protocol

READ_SIZE = 256 * 1024
# How long the other half may go on once one has ended, in seconds.
LINGER_S = 2.0


class Duplex(Protocol):
    """A connection that bytes go through in both directions."""

    async def read(self) -> bytes:
        """Return the next bytes, empty at the end. Raises OSError when the connection broke."""

    async def write(self, data: bytes) -> None:
        """Write; returns when there is room for more. Raises OSError when the connection broke."""

    def end(self) -> None:
        """Tell the other side that nothing more comes."""

    def close(self, *, broken: bool) -> None:
        """Close what has been written properly, or break the connection off. May be called twice."""


class StreamDuplex:
    """A connection taken over from the protocol that spoke HTTP on it."""

    def __init__(self, transport: asyncio.Transport, surplus: bytes = b"") -> None:
        loop = asyncio.get_running_loop()
        self._transport = transport
        self._reader = asyncio.StreamReader(limit=READ_SIZE, loop=loop)
        protocol = asyncio.StreamReaderProtocol(self._reader, loop=loop)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        self._writer = asyncio.StreamWriter(transport, protocol, self._reader, loop)
        if surplus:
            self._reader.feed_data(surplus)
        transport.resume_reading()

    async def read(self) -> bytes:
        """Return the next bytes, empty at the end. Raises OSError when the connection broke."""
        return await self._reader.read(READ_SIZE)

    async def write(self, data: bytes) -> None:
        """Write; returns when there is room for more. Raises OSError when the connection broke."""
        self._writer.write(data)
        await self._writer.drain()

    def end(self) -> None:
        """Tell the other side that nothing more comes; over TLS only closing can."""
        if self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def close(self, *, broken: bool) -> None:
        """Close what has been written properly, or break the connection off. May be called twice."""
        if broken:
            self._transport.abort()
        else:
            self._transport.close()


async def join(client: Duplex, upstream: Duplex) -> bool:
    """Pass bytes on until both sides have ended; tell whether they ended properly. Both are closed afterwards."""
    pumps = {
        asyncio.create_task(_pump(client, upstream), name="tunnel-up"),
        asyncio.create_task(_pump(upstream, client), name="tunnel-down"),
    }
    broken = True
    try:
        done, running = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        if running and not _broke(done):
            done, running = await asyncio.wait(pumps, timeout=LINGER_S)
        broken = _broke(done)
    finally:
        for pump in pumps:
            pump.cancel()
        client.close(broken=broken)
        upstream.close(broken=broken)
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*pumps, return_exceptions=True)
    return not broken


async def _pump(source: Duplex, sink: Duplex) -> None:
    while data := await source.read():
        await sink.write(data)
    sink.end()


def _broke(done: set[asyncio.Task[None]]) -> bool:
    return any(pump.exception() is not None for pump in done)
