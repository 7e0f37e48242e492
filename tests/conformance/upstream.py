"""The byte-level upstream: one port, a thread for each connection, and a script that decides what is sent.

Law: a script belongs to one test. When the test ends, connections on which a script still runs are closed; those
that wait for their next request stay open, as a real server's would.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

from tests.conformance.wire import Message, Wire, response

# Called with a request's head; reads the body and writes the answer itself.
Script = Callable[[Message, Wire], None]


class Upstream:
    """A server whose every byte a test decides."""

    def __init__(self, port: int = 0) -> None:
        self.script: Script = answering(self, response(b"{}"))
        # Requests read by `answering`, in the order in which they were complete.
        self.asked: list[Message] = []
        self.connections = 0
        self._wires: dict[Wire, bool] = {}
        self._lock = threading.Lock()
        self.port = port
        self.open()

    def open(self) -> None:
        """Listen."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=2048)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        """Refuse connections and end those that are open."""
        # Closing alone would not wake the thread that accepts.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._end(lambda _: True)

    def start(self, script: Script | bytes) -> None:
        """Begin a test's play: a script, or bytes to answer every request with."""
        self.asked = []
        self.connections = 0
        self.script = answering(self, script) if isinstance(script, bytes) else script

    def finish(self) -> None:
        """End a test's play."""
        self.script = answering(self, response(b"{}"))
        self._end(lambda busy: busy)

    def _end(self, which: Callable[[bool], bool]) -> None:
        with self._lock:
            ended = [wire for wire, busy in self._wires.items() if which(busy)]
        for wire in ended:
            with contextlib.suppress(OSError):
                wire.sock.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(Wire(sock),), daemon=True).start()

    def _serve(self, wire: Wire) -> None:
        try:
            # A script whose expectation fails hangs up, and the test sees that from the client's side.
            with contextlib.suppress(OSError, EOFError, AssertionError, threading.BrokenBarrierError):
                while self._requested(wire):
                    self.script(wire.head(), wire)
        finally:
            with self._lock:
                self._wires.pop(wire, None)
            wire.close()

    def _requested(self, wire: Wire) -> bool:
        """Wait for a request, however long; False when there comes no other."""
        self._note(wire, busy=False)
        wire.sock.settimeout(None)
        wire.buffer = wire.sock.recv(262_144)
        self._note(wire, busy=True)
        return bool(wire.buffer)

    def _note(self, wire: Wire, *, busy: bool) -> None:
        with self._lock:
            self._wires[wire] = busy


def answering(upstream: Upstream, reply: bytes) -> Script:
    """Answer every request, once it is read and noted, with the same bytes."""

    def script(head: Message, wire: Wire) -> None:
        upstream.asked.append(wire.body(head))
        wire.send(reply)

    return script
