"""Load in streams: many paced event streams at once, timed event by event.

    python streams.py PORT STREAMS EVENTS [--large]

Prints JSON: seconds from a request to its first event and between events (sorted samples' 50th and 99th percentiles),
and seconds from an event's writing at the model to its arrival here. `--large` sends one request of 400 kB (about
100k tokens) again and again beside the streams.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from typing import cast

import uvloop

# Long enough that starting is not what is measured.
START_S = 1.0
_WRITTEN = re.compile(rb'"t":(\d+)')
HEADERS = b"host: 127.0.0.1\r\ncontent-type: application/json\r\nauthorization: Bearer sk-bench\r\n"


def request(document: dict[str, object]) -> bytes:
    """Write a chat completion request."""
    body = json.dumps(document).encode()
    return b"POST /v1/chat/completions HTTP/1.1\r\n%bcontent-length: %d\r\n\r\n%b" % (
        HEADERS,
        len(body),
        body,
    )


class Stream(asyncio.Protocol):
    """Asks for one stream and notes when what arrived."""

    def __init__(self, events: int) -> None:
        self._events = events
        self._last = 0
        self.first: list[float] = []
        self.gaps: list[float] = []
        self.delays: list[float] = []
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        messages = [{"role": "user", "content": "Tell me a story about a parcel that came back."}]
        document = {"model": "m", "messages": messages, "max_tokens": self._events, "stream": True}
        self._asked = time.monotonic_ns()
        cast("asyncio.Transport", transport).write(request(document))

    def data_received(self, data: bytes) -> None:
        """Note the arrival of every event in a read."""
        now = time.monotonic_ns()
        for written in _WRITTEN.findall(data):
            if self._last:
                self.gaps.append((now - self._last) / 1e9)
            else:
                self.first.append((now - self._asked) / 1e9)
            self._last = now
            self.delays.append((now - int(written)) / 1e9)
        if b"[DONE]" in data and not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail when the stream is not at its end."""
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("closed early"))


async def large_requests(port: int) -> None:
    """Send one request of 400 kB after the other."""
    text = "context " * 50_000
    raw = request({"model": "m", "messages": [{"role": "user", "content": text}]})
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        writer.write(raw)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        await reader.readexactly(int(length.partition(b":")[2]))
        await asyncio.sleep(0.05)


async def measure(port: int, streams: int, events: int, *, large: bool) -> dict[str, float]:
    """Run all streams, started one after the other over `START_S`, and summarise them."""
    loop = asyncio.get_running_loop()
    beside = loop.create_task(large_requests(port)) if large else None
    running = []
    for _ in range(streams):
        _, stream = await loop.create_connection(lambda: Stream(events), "127.0.0.1", port)
        running.append(stream)
        await asyncio.sleep(START_S / streams)
    await asyncio.wait_for(asyncio.gather(*(stream.done for stream in running)), 60 + events)
    if beside is not None:
        beside.cancel()
    found: dict[str, float] = {}
    for name in ("first", "gaps", "delays"):
        values = sorted(value for stream in running for value in getattr(stream, name))
        found[f"{name}_p50"] = values[len(values) // 2]
        found[f"{name}_p99"] = values[int(len(values) * 0.99)]
    return found


if __name__ == "__main__":
    port, streams, events = (int(text) for text in sys.argv[1:4])
    print(json.dumps(uvloop.run(measure(port, streams, events, large="--large" in sys.argv))))
