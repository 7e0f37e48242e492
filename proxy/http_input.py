"""What arrives on a client's connection: requests cut out of bytes, judged before they are exchanges.

Law: a head is judged whole (`proxy.request_head`), and so is what never becomes one: nothing that is neither a head's
end nor a part of a body grows beyond `head_bytes`. Trailers are nobody's. An upgrade that will not be is passed over
and its request's body read (RFC 9110 section 7.8). What is refused ends the connection (`proxy.http_ending`).
"""

from __future__ import annotations

import math

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

from proxy.headers import is_handshake
from proxy.http_ending import EndingProtocol
from proxy.request_head import Head, framing, objection


class InputProtocol(EndingProtocol):
    """uvicorn's protocol, its input side."""

    # Bytes that came since the last part of a body or the last request's beginning; True where they begin with one.
    _unread = 0
    _from_start = False
    # Bytes of the packets in which the head lies, and of the latest one.
    _at_most = _packet = 0
    # Why the parser was stopped.
    _objection = ""
    # The framing of a body that the parser took for another protocol; True while another parser is told of it.
    _passed_over = b""
    _replaying = False
    # What came behind a WebSocket handshake that is not answered yet.
    _behind: bytearray | None = None

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived."""
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
        if not self._head_done and self._at_most == self._packet and self.cycle is not None:
            # A later request's head has begun in this packet; the first one's time runs since the connection's beginning.
            self._awaited_since = self.loop.time()
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
        handshake = upgrading and is_handshake(version, self.headers)
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
        self._awaited_since = math.inf
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request, unless its body was passed over."""
        if not self._passed_over:
            self._in_body = False
            super().on_message_complete()

    def _after_response(self) -> bool:
        """Do what waited for a response; False when the connection is not to serve any more."""
        if self.transport.is_closing() or self._lingering:
            return False
        if self._owed and not self.pipeline:
            self._answer(self._owed)
            return False
        if self._behind is not None and not self.pipeline:
            self.loop.call_soon(self._replay)
        else:
            self.flow.resume_reading()
        return True

    def _replay(self) -> None:
        """Read what came behind a handshake that was refused, before anything newer: it is requests."""
        behind, self._behind = self._behind, None
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if behind:
            self.data_received(bytes(behind))
