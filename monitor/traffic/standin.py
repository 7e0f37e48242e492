"""A small OpenAI-compatible server that stands in for a model, labelled as such in everything it says.

Law of this file: sockets only; what is said is decided in `openai_shapes`. One asyncio protocol on httptools, because
it shares its cores with whatever it helps to measure. It speaks plain HTTP/1.1 to a proxy on the same machine and is
no server for anything else.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from itertools import count
from typing import cast

import httptools

from monitor.traffic.openai_shapes import Answers, Reply, refusal, reply

_MAX_BODY_BYTES = 64 * 1024 * 1024


class _Connection(asyncio.Protocol):
    """One client's connection; requests are answered in the order in which they arrive."""

    def __init__(self, standin: StandIn) -> None:
        self._standin = standin
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._url, self._body = b"", bytearray()
        self._ready: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is one without deriving from it.
        self._transport = cast("asyncio.Transport", transport)
        self._standin.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 asyncio's signature
        self._transport = None
        self._standin.connections.discard(self)
        if self._ready is not None:
            self._ready.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._send(refusal(400, "The stand-in cannot read this request.", "bad_request"))
            self.close()

    # httptools calls these while it parses.

    def on_message_begin(self) -> None:
        self._url, self._body = b"", bytearray()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, body: bytes) -> None:
        if len(self._body) <= _MAX_BODY_BYTES:
            self._body += body

    def on_message_complete(self) -> None:
        self._standin.received += 1
        method = self._parser.get_method().decode("ascii")
        path = self._url.decode("latin-1")
        if len(self._body) > _MAX_BODY_BYTES:
            answer = refusal(413, "The stand-in takes bodies of 64 MiB at most.", "too_large")
        else:
            answer = reply(
                method, path, bytes(self._body), self._standin.answers, next(self._standin.numbers)
            )
        if answer.delay_s > 0:
            loop = asyncio.get_running_loop()
            self._ready = loop.call_later(answer.delay_s, self._send, answer)
        else:
            self._send(answer)

    def _send(self, answer: Reply) -> None:
        if self._transport is None:
            return
        phrase = HTTPStatus(answer.status).phrase
        if answer.parts:
            head = f"HTTP/1.1 {answer.status} {phrase}\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            self._transport.write(head.encode("ascii"))
            for part in answer.parts:
                self._transport.write(b"%x\r\n%b\r\n" % (len(part), part))
            self._transport.write(b"0\r\n\r\n")
        else:
            head = f"HTTP/1.1 {answer.status} {phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(answer.body)}\r\n\r\n"
            self._transport.write(head.encode("ascii") + answer.body)
        self._standin.answered += 1

    def close(self) -> None:
        """Close the connection once what was written is sent."""
        if self._transport is not None:
            self._transport.close()


class StandIn:
    """The server; `received` and `answered` count requests."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.numbers = count(1)
        self.received = 0
        self.answered = 0
        self.connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> str:
        """Listen; return the base URL that clients use. Raises OSError when the address is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), host, port, backlog=1024)
        name, bound = self._server.sockets[0].getsockname()[:2]
        return f"http://{f'[{name}]' if ':' in name else name}:{bound}/v1"

    async def stop(self) -> None:
        """Stop listening and close what is open."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.close()
        if self._server is not None:
            await self._server.wait_closed()
