"""Mixed load: a model that answers in every way, and clients that behave in every way, in one event loop.

Law: open loop, seeded, with a bound. A request is sent when its time has come, whatever became of the ones before it,
unless `MOST` run already: then the load waits, so that a machine that stands still is not measured as a burst. One is counted
once it is surely the proxy's: written whole to a connection on which the proxy, or the model behind it, has answered
or taken it in. Nothing is asserted here; what differs from what was expected is counted by kind under `surprises`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

# What of a hundred requests is of which kind.
MIX = {
    "plain": 62,
    "stream": 20,
    "big request": 2,
    "big answer": 2,
    "error": 4,
    "upstream resets": 2,
    "leaves before the head": 2,
    "leaves mid-stream": 2,
    "slow reader": 2,
    "websocket": 2,
}
EVENTS, PACE_S = 20, 0.02
BIG = 300_000
WORDS = (
    "parcel",
    "refund",
    "order",
    "delivery",
    "payment",
    "question",
    "answer",
    "price",
    "service",
    "ticket",
)
# Requests under way at once; at 150 a second and half a second each there are hardly ever as many.
MOST = 128
_ENOUGH_S = 60.0
JSON = b"content-type: application/json\r\n"


def _framed(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n%b" % (status, JSON, len(body), body)


def _completion(text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"id": "c", "object": "chat.completion", "model": "m", "choices": [choice]}).encode()


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    data = b"data: " + json.dumps({"object": "chat.completion.chunk", "choices": [choice]}).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_STREAM_END = _event({}, "stop") + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
_UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"


class Model:
    """The upstream: what it does stands in the request's `user`."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        # Requests whose client wants to know that they have come this far.
        self.waited_for: dict[str, asyncio.Event] = {}

    async def listen(self) -> int:
        """Listen on a free port and return it."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 21, backlog=2048)
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head, body = await _message(reader)
                if b"upgrade: websocket" in head.lower():
                    await _echo(reader, writer)
                    break
                if not await self._answer(json.loads(body), reader, writer):
                    break
        self._writers.discard(writer)
        writer.close()

    async def _answer(
        self, asked: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        kind = asked["user"]
        if kind == "upstream resets":
            writer.transport.abort()
            return False
        if kind == "leaves before the head":
            if there := self.waited_for.get(asked["tag"]):
                there.set()
            return bool(await reader.read(1))
        if "stream" in kind:
            await _stream(writer, EVENTS if kind == "stream" else 1000)
        elif kind == "error":
            writer.write(_framed(b'{"error":{"message":"overloaded","type":"server_error"}}', b"500 Oops"))
        else:
            long = kind in {"big answer", "slow reader"}
            writer.write(_framed(_completion("word " * (BIG // 5) if long else "A plain answer. " * 20)))
        await writer.drain()
        return True

    async def close(self) -> None:
        """Stop listening and end what is open."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0.1)


async def _stream(writer: asyncio.StreamWriter, events: int) -> None:
    writer.write(_STREAM_HEAD)
    for _ in range(events):
        if writer.is_closing():
            raise ConnectionResetError
        writer.write(_event({"content": " token"}))
        await writer.drain()
        await asyncio.sleep(PACE_S)
    writer.write(_STREAM_END)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_UPGRADED)
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read a head and a body with a Content-Length, or a chunked body (as its frames)."""
    head = await reader.readuntil(b"\r\n\r\n")
    low = head.lower()
    if b"transfer-encoding: chunked" in low:
        return head, await reader.readuntil(b"0\r\n\r\n")
    _, found, rest = low.partition(b"\r\ncontent-length:")
    return head, await reader.readexactly(int(rest.split(b"\r\n", 1)[0])) if found else b""


class Clients:
    """Sends the mix to a port of 127.0.0.1 until told to stop."""

    def __init__(self, port: int, model: Model, seed: int = 1) -> None:
        self._port = port
        self._model = model
        self._play = random.Random(seed)
        self._tags = itertools.count()
        self._running: set[asyncio.Task[None]] = set()
        self._kept: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.sent: Counter[str] = Counter()
        self.surprises: Counter[str] = Counter()
        self._ways: dict[str, Callable[[str], Awaitable[None]]] = {
            "leaves before the head": self._leave_early,
            "leaves mid-stream": self._leave_mid_stream,
            "slow reader": self._read_slowly,
            "websocket": self._websocket,
        }

    @property
    def running(self) -> int:
        """Requests under way."""
        return len(self._running)

    async def run(self, rate: float, seconds: float) -> None:
        """Send `rate` requests a second for so long, at random distances; then wait for those under way."""
        loop = asyncio.get_running_loop()
        at = loop.time()
        until = at + seconds
        while at < until:
            at += self._play.expovariate(rate)
            await asyncio.sleep(max(0.0, at - loop.time()))
            while self.running >= MOST:
                await asyncio.wait(set(self._running), return_when=asyncio.FIRST_COMPLETED)
                at = max(at, loop.time())
            self.begin_any()
        await self.finish()

    def begin_any(self) -> None:
        """Begin one request of the mix."""
        self.begin(self._play.choices(list(MIX), list(MIX.values()))[0])

    def begin(self, kind: str) -> None:
        """Begin one request."""
        task = asyncio.create_task(self._one(kind), name=kind)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def finish(self) -> None:
        """Wait for what is under way and close what was kept open."""
        if self._running:
            await asyncio.wait(set(self._running))
        for _, writer in self._kept:
            writer.close()
        self._kept.clear()

    async def _one(self, kind: str) -> None:
        try:
            async with asyncio.timeout(_ENOUGH_S):
                await self._ways.get(kind, self._ask)(kind)
        except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError) as error:
            self.surprises[f"{kind}: {type(error).__name__}"] += 1

    def _request(self, kind: str) -> tuple[bytes, str]:
        tag = str(next(self._tags))
        size = BIG // 6 if kind == "big request" else 40
        text = " ".join(self._play.choices(WORDS, k=40)) + " word." * (size - 40)
        document = {"model": "m", "user": kind, "tag": tag, "messages": [{"role": "user", "content": text}]}
        if "stream" in kind:
            document["stream"] = True
        body = json.dumps(document).encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: p\r\nauthorization: Bearer sk-soak\r\n%b" % JSON
        return head + b"content-length: %d\r\n\r\n%b" % (len(body), body), tag

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        # A small buffer, so that a client that does not read is felt at once.
        return await asyncio.open_connection("127.0.0.1", self._port, limit=65536)

    async def _ask(self, kind: str) -> None:
        """Ask and read the whole answer; a kept connection that was closed while it rested is replaced, as clients do."""
        request = self._request(kind)[0]
        while True:
            kept = bool(self._kept)
            reader, writer = self._kept.pop() if kept else await self._open()
            try:
                head = await self._answered(reader, writer, request)
            except (OSError, asyncio.IncompleteReadError) as error:
                writer.close()
                if kept and not getattr(error, "partial", b""):
                    continue
                raise
            except BaseException:
                writer.close()
                raise
            break
        self.sent[kind] += 1
        self._kept.append((reader, writer))
        wanted = {"error": b"500", "upstream resets": b"502"}.get(kind, b"200")
        if head.split()[1] != wanted:
            self.surprises[f"{kind}: status {head.split()[1].decode()}"] += 1

    async def _answered(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
    ) -> bytes:
        writer.write(request)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        if b"chunked" in head.lower():
            while size := int(await reader.readline(), 16):
                await reader.readexactly(size + 2)
            await reader.readline()
        else:
            await reader.readexactly(_length(head))
        return head

    async def _leave_early(self, kind: str) -> None:
        request, tag = self._request(kind)
        there = self._model.waited_for[tag] = asyncio.Event()
        _, writer = await self._open()
        try:
            writer.write(request)
            await there.wait()
            self.sent[kind] += 1
        finally:
            del self._model.waited_for[tag]
            writer.transport.abort()

    async def _leave_mid_stream(self, kind: str) -> None:
        reader, writer = await self._open()
        try:
            writer.write(self._request(kind)[0])
            await reader.readuntil(b"data: ")
            self.sent[kind] += 1
            await asyncio.sleep(self._play.random())
        finally:
            writer.close()

    async def _read_slowly(self, kind: str) -> None:
        """Take about three seconds for 300 kB."""
        reader, writer = await self._open()
        try:
            writer.write(self._request(kind)[0])
            head = await reader.readuntil(b"\r\n\r\n")
            self.sent[kind] += 1
            left = _length(head)
            while left:
                left -= len(await reader.readexactly(min(left, 10_000)))
                await asyncio.sleep(0.1)
        finally:
            writer.close()

    async def _websocket(self, kind: str) -> None:
        reader, writer = await self._open()
        try:
            writer.write(
                b"GET /v1/realtime?model=m HTTP/1.1\r\nhost: p\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
                b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            head = await reader.readuntil(b"\r\n\r\n")
            self.sent[kind] += 1
            if b" 101 " not in head:
                raise ValueError(head)
            for _ in range(10):
                writer.write(b"\x82\x04echo")
                await reader.readexactly(6)
                await asyncio.sleep(0.1)
        finally:
            writer.close()


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"\r\ncontent-length:")[2].split(b"\r\n", 1)[0])
