"""The stand-in model: answers at once, or streams at a fixed pace, with as little work as Python allows.

    python upstream.py PORT

Law: it never waits for anything but its own timers, so that what is measured is the proxy. A request whose body says
`"stream": true` gets `max_tokens` events, one every `PACE_S`, the first after one pause; each carries the nanosecond
(CLOCK_MONOTONIC, the same for all processes of a machine) at which it was written. Any other request gets 0.5 kB.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from typing import cast

import uvloop

PACE_S = 0.02
CONTENT = "A plain answer of about half a kilobyte, as a short chat turn has it. " * 4
ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"m","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"' + CONTENT.encode() + b'"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":90,"completion_tokens":70,"total_tokens":160}}'
)
WHOLE = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nserver: model\r\n"
    b"date: Thu, 01 Jan 2026 00:00:00 GMT\r\ncontent-length: %d\r\n\r\n" % len(ANSWER)
) + ANSWER
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nserver: model\r\n"
    b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
)
EVENT = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":" token"},"finish_reason":null}],"t":%d}\n\n'
)
LAST = b"data: [DONE]\n\n"

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_TOKENS = re.compile(rb'"max_tokens": ?(\d+)')


def chunk(data: bytes) -> bytes:
    """Frame a chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Model(asyncio.Protocol):
    """One connection; requests on it follow each other, as proxies send them."""

    def __init__(self) -> None:
        self._got = bytearray()
        self._loop = asyncio.get_running_loop()
        self._pace: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop streaming."""
        del exc
        if self._pace is not None:
            self._pace.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._got += data
        while (end := self._end_of_request()) is not None:
            request = bytes(self._got[:end])
            del self._got[:end]
            self._answer(request)

    def _end_of_request(self) -> int | None:
        got = self._got
        head = got.find(b"\r\n\r\n")
        if head < 0:
            return None
        length = _LENGTH.search(got, 0, head)
        if length:
            end = head + 4 + int(length[1])
        elif _CHUNKED.search(got, 0, head + 2):
            found = got.find(b"\r\n0\r\n\r\n", head + 2)
            end = found + 7 if found >= 0 else len(got) + 1
        else:
            end = head + 4
        return end if len(got) >= end else None

    def _answer(self, request: bytes) -> None:
        if b'"stream": true' in request[-300:] or b'"stream":true' in request[-300:]:
            tokens = _TOKENS.search(request, len(request) - 300 if len(request) > 300 else 0)
            self._transport.write(STREAM_HEAD)
            self._plan(self._loop.time() + PACE_S, int(tokens[1]) if tokens else 50)
        else:
            self._transport.write(WHOLE)

    def _plan(self, at: float, left: int) -> None:
        self._pace = self._loop.call_at(at, self._event, at, left)

    def _event(self, at: float, left: int) -> None:
        if left:
            self._transport.write(chunk(EVENT % time.monotonic_ns()))
            self._plan(at + PACE_S, left - 1)
        else:
            self._transport.write(chunk(LAST) + b"0\r\n\r\n")


async def serve(port: int) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Model, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
