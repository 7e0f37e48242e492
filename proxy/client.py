"""The client's side of one exchange: its body in, our bytes out, and the news that it has left.

Law: from the moment its body is complete until the last byte is handed over, somebody is listening for the client's
leaving, and cancels the task that serves it (ASGI hides a lost connection from whoever does not ask). A server that
can say so itself (`scope["extensions"]["driftgate.leave"]`) spares the watching task.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from proxy.faults import Answer, ClientLeft, UpstreamFault
from proxy.request_head import announced
from proxy.slots import LEFT_PHASES
from proxy.tunnel import Duplex

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LEAVE_EXTENSION = "driftgate.leave"
# The request target as it stood in the request line, which ASGI splits and loses a bare `?` of.
TARGET_EXTENSION = "driftgate.target"
# Only with a request that asks for WebSocket: writes the 101's head and gives the connection up.
TUNNEL_EXTENSION = "driftgate.tunnel"
# How many bytes the request's body may have.
LIMIT_EXTENSION = "driftgate.limit"


def target_of(scope: Scope) -> bytes:
    """Return the request target, as raw as the server can tell it."""
    target: bytes | None = (scope.get("extensions") or {}).get(TARGET_EXTENSION)
    if target is not None:
        return target
    path, query = scope["raw_path"], scope["query_string"]
    return bytes(path + b"?" + query if query else path)


class Client:
    """One request's client. Belongs to the task that made it."""

    __slots__ = (
        "_announced",
        "_limit",
        "_receive",
        "_send",
        "_take_over",
        "_task",
        "_watched",
        "_watcher",
        "finished",
        "left",
        "phase",
        "uploading",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a client is served by a task")
        self._task = task
        self._watcher: asyncio.Task[None] | None = None
        # Index into LEFT_PHASES: how far the response has come.
        self.phase = 0
        # Whether a part of the request's body has still to come.
        self.uploading = False
        self.left = False
        self.finished = False
        extensions = scope.get("extensions") or {}
        self._limit: float = extensions.get(LIMIT_EXTENSION, math.inf)
        self._announced = announced(scope["headers"])
        self._take_over: Callable[[list[tuple[bytes, bytes]]], Duplex] | None = extensions.get(
            TUNNEL_EXTENSION
        )
        tell_leave = extensions.get(LEAVE_EXTENSION)
        self._watched = tell_leave is not None
        if tell_leave is not None:
            tell_leave(self._leave)

    @property
    def phase_name(self) -> str:
        """Where in the exchange the client is."""
        return LEFT_PHASES[-1 if self.uploading and not self.phase else self.phase]

    async def first_part(self) -> tuple[bytes, bool]:
        """Return the first part of the body and whether more follows. Raises ClientLeft and UpstreamFault."""
        # Before anything is asked for: who waits for `100 Continue` sends nothing in vain.
        self._within_limit(self._announced)
        self.uploading = True
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        more = message.get("more_body", False)
        if not more:
            self.uploading = False
            self._watch_soon()
        body = message.get("body", b"")
        self._within_limit(len(body))
        return body, more

    def _within_limit(self, size: int) -> None:
        if size > self._limit:
            raise UpstreamFault("body_too_large", f"limit {self._limit} bytes")

    async def parts(self, first: bytes) -> AsyncIterator[bytes]:
        """Yield the body from its first part on, each part as it arrives. Raises ClientLeft and UpstreamFault."""
        if first:
            yield first
        size, more = len(first), True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._leave()
                raise ClientLeft
            more = message.get("more_body", False)
            if body := message.get("body", b""):
                size += len(body)
                self._within_limit(size)
                yield body
        self.uploading = False
        self._watch_soon()

    async def head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the response's head."""
        self.phase = 1
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    @property
    def wants_tunnel(self) -> bool:
        """Whether this is a WebSocket handshake on a server that can give its connection up."""
        return self._take_over is not None

    def switch(self, headers: list[tuple[bytes, bytes]]) -> Duplex:
        """Send a 101 with these headers and return the connection. Raises UpstreamFault and ClientLeft."""
        if self._take_over is None:
            raise UpstreamFault("upstream_garbage", "101 that nobody asked for")
        if self.left:
            raise ClientLeft
        self.phase = 2
        self.finished = True
        return self._take_over(headers)

    async def part(self, chunk: bytes) -> None:
        """Send a part of the body; returns when the client's buffer has room again."""
        self.phase = 2
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self, chunk: bytes = b"") -> None:
        """Send the last part."""
        self.finished = True
        await self._send({"type": "http.response.body", "body": chunk, "more_body": False})

    async def answer(self, answer: Answer) -> None:
        """Send a whole response made here."""
        await self.head(answer.status, answer.headers)
        await self.end(answer.body)

    def release(self) -> None:
        """Stop listening."""
        self.finished = True
        if self._watcher is not None:
            self._watcher.cancel()

    def _watch_soon(self) -> None:
        if not self._watched:
            self._watcher = asyncio.create_task(self._watch(), name="client-watcher")

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._leave()

    def _leave(self) -> None:
        if not self.finished and not self.left:
            self.left = True
            self._task.cancel()
