"""A connection to an upstream whose bytes a test hands over itself, cut as it likes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from typing import NamedTuple

from proxy.faults import UpstreamFault
from proxy.transport.http1_connection import Connection

# No byte goes over a network here: what is not there after so long never comes.
PATIENCE_S = 0.1


class Outcome(NamedTuple):
    """What became of one answer. `fault` is empty where it was whole; `again`: the connection may serve another."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    fault: str
    again: bool


async def outcome(pieces: Iterable[bytes], method: str = "GET", *, ends: bool = True) -> Outcome:
    """Ask once, hand over an answer in these pieces, let the upstream close where it `ends`, and read it all."""
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(PATIENCE_S, lambda _: None), sock=ours)
    try:
        connection.ask(method, b"%b / HTTP/1.1\r\n\r\n" % method.encode(), None)
        for piece in pieces:
            if connection._transport.is_closing():
                break
            connection.data_received(piece)
        if ends:
            theirs.shutdown(socket.SHUT_WR)
        return await asyncio.wait_for(_read(connection), 20 * PATIENCE_S)
    finally:
        connection.abort()
        theirs.close()
        # The transport tells its end in the loop's next turn.
        await asyncio.sleep(0)


async def _read(connection: Connection) -> Outcome:
    body, status = b"", 0
    try:
        await connection.answered()
        status = connection.status
        while part := await connection.read():
            body += part
    except UpstreamFault as fault:
        headers = tuple(connection.headers) if status else ()
        return Outcome(status, headers, body, fault.code, again=False)
    again = connection.rest_idle() and connection.usable()
    return Outcome(status, tuple(connection.headers), body, "", again)
