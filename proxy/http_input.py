"""What arrives on a client's connection: requests cut out of bytes, and what is refused before it is an exchange.

Law: a head is judged whole (`proxy.request_head`), and so is what never becomes one: nothing that is neither a head's
end nor a part of a body grows beyond `head_bytes`. Trailers are nobody's. An upgrade that will not be is passed over
and its request's body read (RFC 9110 section 7.8). A refusal comes behind the answers that are owed already, says its
code in OpenAI's shape, and ends the connection without cutting its own words off.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from proxy.faults import fault_answer
from proxy.http_config import EdgeConfig
from proxy.http_cycle import Cycle
from proxy.request_head import Head, framing, objection

# How long a client may go on sending after its last answer: closing earlier would reset what it has not read yet.
LINGER_S = 2.0


class InputProtocol(HttpToolsProtocol):
    """uvicorn's protocol, its input side."""

    config: EdgeConfig
    cycle: Cycle
    # The cycle whose response is being made.
    _running: Cycle | None = None
    _head_done, _in_body = True, False
    # Bytes that came since the last part of a body or the last request's beginning; True where they begin with one.
    _unread = 0
    _from_start = False
    # Bytes of the packets in which the head lies, and of the latest one.
    _at_most = _packet = 0
    # Why the parser was stopped, and what is owed behind the running answers.
    _objection = _owed = ""
    # Nothing is parsed any more; only the client's end is awaited.
    _refused = _lingering = False
    _waiting_for_end: asyncio.TimerHandle | None = None
    # The framing of a body that the parser took for another protocol; True while another parser is told of it.
    _passed_over = b""
    _replaying = False
    # What came behind a WebSocket handshake that is not answered yet.
    _behind: bytearray | None = None
    _idle_since = math.inf

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived."""
        self._idle_since = math.inf
        if self._refused or self._lingering or self.transport.is_closing():
            return
        if self._behind is not None:
            self._behind += data
            if len(self._behind) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            return
        self._packet = len(data)
        self._at_most += len(data)
        self._from_start = self._head_done and not self._in_body
        self._unread = len(data) if self._from_start else self._unread + len(data)
        self._parse(data)
        if self._unread > self.config.limits.head_bytes and (self._in_body or not self._head_done):
            self._refuse("head_too_large")

    def _parse(self, data: bytes | memoryview) -> None:
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = memoryview(data)[upgrade.args[0] :]
                if self._behind is not None:
                    self._behind += data
                    return
                self._go_on()
            except httptools.HttpParserError:
                self._refuse(self._objection or "malformed_request")
                return
            else:
                return

    def _go_on(self) -> None:
        """Read the body of a request whose upgrade will not be."""
        if self._passed_over:
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self._replaying = True
            self.parser.feed_data(b"POST / HTTP/1.1\r\nhost: h\r\n" + self._passed_over + b"\r\n")
            self._replaying, self._passed_over = False, b""

    def on_message_begin(self) -> None:
        """Begin a request."""
        if not self._replaying:
            super().on_message_begin()
            self._head_done = False
            self._at_most = self._packet
            self._unread = self._unread if self._from_start else 0
            self._from_start = False

    def on_url(self, url: bytes) -> None:
        """Keep a part of the request's target."""
        if not self._replaying:
            self.url += url
            if len(self.url) > self.config.limits.target_bytes:
                self._object("target_too_long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; a trailer is none, and comes too late to be looked at."""
        if not self._head_done:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Judge a head, and serve its request."""
        if self._replaying:
            return
        version, method = self.parser.get_http_version(), self.parser.get_method().decode("ascii")
        head = Head(version, method, self.url, self.headers, self._at_most)
        code = objection(head, self.config.limits)
        upgrading = self.parser.should_upgrade()
        body = framing(self.headers) if upgrading else b""
        handshake = upgrading and self._get_upgrade() == b"websocket"
        if code or (handshake and body):
            self._object(code or "malformed_request")
        self._head_done = self._in_body = True
        self._passed_over = body
        self._behind = bytearray() if handshake else None
        self._serve(version, method, handshake=handshake)

    def _serve(self, version: str, method: str, *, handshake: bool) -> None:
        raise NotImplementedError

    def _object(self, code: str) -> None:
        """Stop the parser."""
        self._objection = code
        raise ValueError(code)

    def on_body(self, body: bytes) -> None:
        """Keep a part of a body."""
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request, unless its body was passed over."""
        if not self._passed_over:
            self._in_body = False
            super().on_message_complete()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _after_response(self) -> bool:
        """Do what waited for a response; False when the connection is not to serve any more."""
        if self.transport.is_closing() or self._lingering:
            return False
        if self._owed and not self.pipeline:
            self._answer(self._owed)
            return False
        self.flow.resume_reading()
        if self._behind is not None and not self.pipeline:
            # The handshake was refused: what came behind it are requests.
            behind, self._behind = bytes(self._behind), None
            self.loop.call_soon(self.data_received, behind)
        return True

    def _refuse(self, code: str) -> None:
        """Refuse what has arrived, behind what is owed already."""
        if self._refused:
            return
        self._refused = True
        self.config.on_refused(code)
        broken = self.cycle if self._in_body else None
        self.pipeline = type(self.pipeline)(pair for pair in self.pipeline if pair[0] is not broken)
        running = self._running
        busy = running is not None and not running.response_complete
        if busy and running is not broken:
            self._owed = code
            self.flow.pause_reading()
            return
        if broken is None:
            self._answer(code)
        elif broken.response_started:
            self.transport.close()
        else:
            broken.disconnected = True
            broken.message_event.set()
            self._leave()
            self._answer(code)

    def _answer(self, code: str) -> None:
        answer = fault_answer(code)
        rows = [STATUS_LINE[answer.status][:-2], *(name + b": " + value for name, value in answer.headers)]
        self.transport.write(b"\r\n".join([*rows, b"", answer.body]))
        self.hang_up()

    def _leave(self) -> None:
        """Tell whoever serves the running request that its client is gone."""
        raise NotImplementedError

    def hang_up(self) -> None:
        """End the connection once the client has read its last answer, or soon."""
        if self._lingering or self.transport.is_closing():
            return
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        self._lingering = True
        self.flow.resume_reading()
        self.transport.write_eof()
        self._waiting_for_end = self.loop.call_later(LINGER_S, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        super().connection_lost(exc)
        if self._waiting_for_end is not None:
            self._waiting_for_end.cancel()
