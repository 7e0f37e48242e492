"""HTTP at the level of bytes, for tests that must see what HTTP libraries hide."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Asked(NamedTuple):
    """A request as the raw upstream saw it."""

    line: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def values(self, name: bytes) -> list[bytes]:
        """Return all values of a header."""
        return [value for key, value in self.headers if key.lower() == name]


async def read_message(reader: asyncio.StreamReader) -> Asked:
    """Read one HTTP message byte by byte honest: head, then Content-Length or chunked body."""
    head = await reader.readuntil(b"\r\n\r\n")
    line, *rest = head[:-4].split(b"\r\n")
    headers = []
    for row in rest:
        name, _, value = row.partition(b":")
        headers.append((name, value.strip()))
    message = Asked(line, headers, b"")
    if message.values(b"content-length"):
        return message._replace(body=await reader.readexactly(int(message.values(b"content-length")[0])))
    if message.values(b"transfer-encoding"):
        return message._replace(body=await read_chunked(reader))
    return message


async def read_chunked(reader: asyncio.StreamReader) -> bytes:
    """Read a chunked body; raises IncompleteReadError when its end is missing."""
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        assert await reader.readexactly(2) == b"\r\n"
    assert await reader.readexactly(2) == b"\r\n"
    return body


def answer(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """Write a whole response with a Content-Length."""
    head = [b"HTTP/1.1 " + status, b"content-length: %d" % len(body), *headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def post(body: bytes, path: bytes = b"/v1/chat/completions", *headers: bytes) -> bytes:
    """Write a POST request."""
    head = [b"POST " + path + b" HTTP/1.1", b"host: proxy", b"content-length: %d" % len(body), *headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


async def until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    """Poll until a condition holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "condition never held"
        await asyncio.sleep(0.005)
