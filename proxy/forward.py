"""The forwarder: an ASGI callable that relays one request and its response, byte for byte.

Law: the response's head goes out at once, each read from the upstream is written before the next is awaited, and
nothing is looked into. A reply that ends early ends the client's connection without a proper end. Whatever happens
(fault, client gone, shutdown), the upstream is closed and the exchange is counted and offered to the mirror once.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Mapping
from typing import NamedTuple

import structlog

from proxy.capture import Capture
from proxy.client import Client, Receive, Scope, Send
from proxy.endpoints import endpoint_of
from proxy.faults import Answer, ClientLeft, UpstreamFault, fault_answer
from proxy.headers import (
    EXCHANGE,
    STATUS,
    WEBSOCKET_ASKED,
    is_handshake,
    to_client,
    type_and_coding,
    value_of,
)
from proxy.mirror import Mirror
from proxy.request_side import RequestSide
from proxy.routing import Router
from proxy.scoreboard import Scoreboard
from proxy.slots import ADDED, FIRST, INDEX, LATENCY_EDGES, OFFSET, OWN_EDGES, UNROUTED, UPSTREAM, WHOLE
from proxy.transport import Reply, Transport
from proxy.tunnel import join
from proxy.verdicts import VerdictBoard

log = structlog.get_logger(__name__)

SWITCHING = 101
_EVENTS = b"text/event-stream"
# W3C Server Timing: milliseconds up to this head. The upstream's own entries pass before ours.
SERVER_TIMING = b"server-timing"
_RECEIVED, _ENDED = INDEX["received"], INDEX["ended"]
_ADDED, _ADDED_SUM = INDEX[ADDED.slots[0]], INDEX[ADDED.slots[-1]]
# Within a route's row.
_UPSTREAM, _UPSTREAM_SUM = OFFSET[UPSTREAM.slots[0]], OFFSET[UPSTREAM.slots[-1]]
_FIRST, _FIRST_SUM = OFFSET[FIRST.slots[0]], OFFSET[FIRST.slots[-1]]
_WHOLE, _WHOLE_SUM = OFFSET[WHOLE.slots[0]], OFFSET[WHOLE.slots[-1]]


class Site(NamedTuple):
    """What forwarding needs. `transports`: provider -> transport."""

    router: Router
    transports: Mapping[str, Transport]
    mirror: Mirror
    board: Scoreboard
    verdicts: VerdictBoard
    headers_on: bool
    # Whether `Server-Timing` is among the headers.
    timing: bool = False
    # Whether exchanges are described to a tracer.
    traced: bool = False


class Forwarder:
    """Relays requests to the upstream that their route names."""

    def __init__(self, site: Site) -> None:
        # Replaced by a new configuration: what has begun goes on with the one that it began with.
        self.site = site
        # Set when the worker has been told to stop.
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        forwarding = _Forwarding(self.site, scope, Client(scope, receive, send))
        try:
            await self._serve(forwarding)
        except ClientLeft:
            forwarding.client_left()
        except asyncio.CancelledError:
            await forwarding.cancelled()
        finally:
            forwarding.finish()

    async def _serve(self, forwarding: _Forwarding) -> None:
        try:
            if self.draining:
                await forwarding.failed(UpstreamFault("draining"))
            else:
                await forwarding.run()
        except UpstreamFault as fault:
            await forwarding.failed(fault)
        except ClientLeft:
            raise
        except Exception:  # whatever we did wrong, the client is told as of any other fault
            log.exception("fault while serving", exchange=forwarding.id)
            await forwarding.failed(UpstreamFault("internal"))


class _Forwarding:
    """One exchange on its way.

    On the monotonic clock, 0 until reached: `began`, `asked` (handed to the upstream's client), `answered` (its head is
    here), `first` (part of an event stream). `added`: seconds the proxy took for itself (docs/operations.md).
    """

    __slots__ = (
        "added", "answered", "asked", "began", "capture", "client", "end", "first", "id", "request", "scope",
        "site", "status",
    )  # fmt: skip

    def __init__(self, site: Site, scope: Scope, client: Client) -> None:
        mirror = site.mirror
        now = mirror.clock.now()
        self.site = site
        self.scope = scope
        self.client = client
        self.began = began = mirror.clock.monotonic()
        self.id = mirror.new_id(now)
        self.asked = self.answered = self.first = self.added = 0.0
        self.status = 0
        self.end = ""
        site.board.slots[_RECEIVED] += 1
        endpoint = endpoint_of(scope["method"], scope["raw_path"])
        self.capture: Capture | None = mirror.begin(self.id, now, began, endpoint, scope["headers"])
        self.request = RequestSide(site.router, scope, client, self.capture)

    async def run(self) -> None:
        """Relay the request, then the response. Raises UpstreamFault and ClientLeft."""
        scope = self.scope
        if not self.client.wants_tunnel and is_handshake(scope["http_version"], scope["headers"]):
            raise UpstreamFault("websocket_unsupported")
        monotonic = self.site.mirror.clock.monotonic
        outgoing, choice = await self.request.prepare(monotonic)
        self.asked = monotonic()
        self.added = self.asked - self.request.arrived
        reply = await self.site.transports[choice.provider].open(outgoing)
        self.answered = monotonic()
        try:
            if reply.status == SWITCHING:
                await self._tunnel(reply)
            else:
                await self._relay(reply)
        finally:
            await reply.close()

    async def _tunnel(self, reply: Reply) -> None:
        """Give both connections to a tunnel and wait for its end."""
        self._note_head(reply)
        upstream = reply.tunnel()
        headers = to_client(reply.headers, [*WEBSOCKET_ASKED, *self._own_headers()])
        if not await join(self.client.switch(headers), upstream):
            self.end = "upstream_reset"

    async def _relay(self, reply: Reply) -> None:
        client, capture = self.client, self.capture
        monotonic = self.site.mirror.clock.monotonic
        streams = _EVENTS in self._note_head(reply)
        await client.head(reply.status, to_client(reply.headers, self._own_headers()))
        self.added += monotonic() - self.answered
        try:
            while chunk := await reply.read():
                if streams:
                    self.first, streams = monotonic(), False
                if capture is not None:
                    capture.keep_response(chunk, monotonic)
                await client.part(chunk)
        except UpstreamFault:
            if rest := reply.rest():
                if capture is not None:
                    capture.keep_response(rest, monotonic)
                await client.part(rest)
            raise
        await client.end()

    def _note_head(self, reply: Reply) -> bytes:
        """Note what a reply's head says; return its content type."""
        self.status = reply.status
        content_type, coding = type_and_coding(reply.headers)
        capture = self.capture
        if capture is not None:
            capture.status = reply.status
            capture.content_type = content_type
            if coding:
                capture.content_coding = coding
        return content_type

    def _own_headers(self) -> list[tuple[bytes, bytes]]:
        if not self.site.headers_on:
            return []
        own = [(EXCHANGE, b'"' + self.id.encode() + b'"')]
        choice = self.request.choice
        if choice is not None:
            own.insert(0, (STATUS, self.site.verdicts.line((choice.route, choice.arm))))
        if self.site.timing and self.answered:
            own.append((SERVER_TIMING, _timing(self)))
        return own

    async def failed(self, fault: UpstreamFault) -> None:
        """Tell the client, or end its connection without a proper end when the head is gone already."""
        if self.client.left:
            self.client_left()
            return
        self.end = fault.code
        self.site.board.add(f"fault.{fault.code}")
        log.warning(
            "upstream fault", exchange=self.id, code=fault.code, detail=fault.detail, status=self.status
        )
        if self.client.phase > 0:
            return
        answer = fault_answer(fault.code, fault.detail)
        self.status = answer.status
        if self.capture is not None:
            self.capture.status = answer.status
            if fault.code == "body_too_large":
                # What we refuse says nothing about a model.
                self.capture.let_go("not_routed")
        await self.client.answer(Answer(answer.status, answer.headers + self._own_headers(), answer.body))

    def client_left(self) -> None:
        """Note that nobody is there any more."""
        self.end = "client_left"
        self.site.board.add(f"left.{self.client.phase_name}")

    async def cancelled(self) -> None:
        """Tell our own cancelling (the client left) from the server's (its patience at shutdown ended)."""
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        if self.client.left:
            self.client_left()
        else:
            await self.failed(UpstreamFault("draining"))

    def finish(self) -> None:
        """Count the exchange and offer it to the mirror."""
        self.client.release()
        ended = self.site.mirror.clock.monotonic()
        count(self, ended)
        capture = self.capture
        if capture is not None:
            if self.end:
                capture.end = self.end
            if self.site.traced:
                capture.traceparent = value_of(self.scope["headers"], b"traceparent")
            if self.request.choice is None:
                capture.let_go("not_routed")
            self.site.mirror.offer(capture, ended)


def _timing(exchange: _Forwarding) -> bytes:
    own = exchange.added + exchange.site.mirror.clock.monotonic() - exchange.answered
    return b"proxy;dur=%.3f, upstream;dur=%.3f" % (1e3 * own, 1e3 * (exchange.answered - exchange.asked))


def count(exchange: _Forwarding, ended: float) -> None:
    """Count an exchange that is over (`ended`: when, on the monotonic clock)."""
    board, choice = exchange.site.board, exchange.request.choice
    slots = board.slots
    slots[_ENDED] += 1
    route = UNROUTED if choice is None else choice.route
    row = board.rows.get(route) or board.row(route)
    if exchange.status:
        slots[row + min(exchange.status // 100, 5) - 1] += 1
    began, answered = exchange.began, exchange.answered
    _observe(slots, row + _WHOLE, row + _WHOLE_SUM, ended - began)
    if answered:
        _observe(slots, row + _UPSTREAM, row + _UPSTREAM_SUM, answered - exchange.asked)
        slots[_ADDED + bisect_left(OWN_EDGES, exchange.added)] += 1
        slots[_ADDED_SUM] += int(exchange.added * 1e6)
    if exchange.first:
        _observe(slots, row + _FIRST, row + _FIRST_SUM, exchange.first - began)


def _observe(slots: memoryview[int], first: int, total: int, seconds: float) -> None:
    slots[first + bisect_left(LATENCY_EDGES, seconds)] += 1
    slots[total] += int(seconds * 1e6)
