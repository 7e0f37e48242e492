"""The scripted model as a server of raw sockets, which sees what an HTTP library would hide.

Law: sockets, threads and the clock only; what is said is decided in `openai_answers`. It writes streams in pieces that
end within characters and events, paced, and notes when each connection closes under an endless one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from tests.clients.openai_answers import Answer, answer, last_words
from tests.proxy.wire import Asked, read_message

PACE_S = 0.005
HOLD_S = 10.0


@dataclass
class Seen:
    """One request as it arrived, when (epoch seconds), and what happened to its answer."""

    asked: Asked
    document: dict[str, Any]
    at: float
    heard: bool = False
    closed: float = 0.0

    def request(self) -> tuple[bytes, list[tuple[bytes, bytes]], bytes]:
        """Return all that a forwarded request shares with a direct one.

        That is everything but what belongs to the connection: the port it was addressed to, and how long it lives
        (hop by hop, RFC 9110 7.6.1). Names of headers have no case (5.1).
        """
        headers = [(name.lower(), value) for name, value in self.asked.headers]
        headers = [pair for pair in headers if pair[0] not in {b"host", b"connection"}]
        return self.asked.line, headers, self.asked.body


@dataclass
class Upstream:
    """The server, in a thread of its own with its own loop."""

    seen: list[Seen] = field(default_factory=list)
    port: int = 0
    # Streams wait in their middle until this is set, for `HOLD_S` at most.
    heard: threading.Event = field(default_factory=threading.Event)
    _attempts: Counter[str] = field(default_factory=Counter)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        listening = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(listening,), name="upstream")
        self._thread.start()
        assert listening.wait(10)

    def stop(self) -> None:
        """Close every connection."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)

    def forget(self) -> None:
        """Begin a new test."""
        self.seen.clear()
        self._attempts.clear()
        self.heard.set()

    def _run(self, listening: threading.Event) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._serve(listening))

    async def _serve(self, listening: threading.Event) -> None:
        self._ended = asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._connection(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=2**20)
        self.port = server.sockets[0].getsockname()[1]
        listening.set()
        await self._ended.wait()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    await self._exchange(reader, writer)
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await read_message(reader)
        document = json.loads(asked.body or b"{}")
        seen = Seen(asked, document, time.time())
        self.seen.append(seen)
        scene = last_words(document)
        self._attempts[scene] += 1
        found = answer(asked.line.split(b" ")[1].decode(), document, self._attempts[scene])
        if found.endless:
            await _tell_without_end(seen, found, reader, writer)
        elif found.events:
            await self._tell(seen, found, writer)
        else:
            body = json.dumps(found.document).encode()
            writer.write(
                _head(found, "content-type: application/json", f"content-length: {len(body)}") + body
            )
            await writer.drain()

    async def _tell(self, seen: Seen, found: Answer, writer: asyncio.StreamWriter) -> None:
        """Send events, each with the first half of its successor, so that nothing ends where a parser would like it.

        Notes whether someone has heard the first half before it sends the second.
        """
        writer.write(_stream_head(found))
        left = b""
        for number, event in enumerate(found.events):
            if number == len(found.events) // 2:
                seen.heard = await asyncio.to_thread(self.heard.wait, HOLD_S)
            half = len(event) // 2
            writer.write(_chunked(left + event[:half]))
            left = event[half:]
            await writer.drain()
            await asyncio.sleep(PACE_S)
        writer.write(_chunked(left) + b"0\r\n\r\n")
        await writer.drain()


def _head(found: Answer, *headers: str) -> bytes:
    line = f"HTTP/1.1 {found.status} {HTTPStatus(found.status).phrase}"
    return "\r\n".join([line, *headers, *found.headers, "", ""]).encode()


def _stream_head(found: Answer) -> bytes:
    return _head(found, "content-type: text/event-stream; charset=utf-8", "transfer-encoding: chunked")


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def _tell_without_end(
    seen: Seen, found: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Repeat the last event until the other side closes; note when it did."""
    writer.write(_stream_head(found) + b"".join(map(_chunked, found.events)))
    gone = asyncio.ensure_future(reader.read())
    try:
        while not (await asyncio.wait([gone], timeout=PACE_S))[0]:
            writer.write(_chunked(found.events[-1]))
    finally:
        seen.closed = time.time()
        gone.cancel()
    with contextlib.suppress(ConnectionError):
        await gone
    raise ConnectionResetError
