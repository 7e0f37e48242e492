"""One TCP connection, read and written by hand, for what HTTP libraries hide.

Law: blocking sockets with a deadline, nothing is repaired or guessed. How a body ended is told apart: `whole` (its
proper end came), `short` (FIN before it) or `reset` (RST before it).
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import time
from collections.abc import Iterator
from typing import NamedTuple

TIMEOUT_S = 8.0
# linux/sockios.h: bytes in the send queue that the peer has not acknowledged.
_SIOCOUTQ = 0x5411


class Message(NamedTuple):
    """A request or a response as it came."""

    line: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    end: str = "whole"

    @property
    def status(self) -> int:
        """The status of a response."""
        return int(self.line.split()[1])

    @property
    def target(self) -> bytes:
        """The target of a request."""
        return self.line.split(b" ")[1]

    def values(self, name: bytes) -> list[bytes]:
        """Return all values of a header (lower-case name)."""
        return [value for key, value in self.headers if key.lower() == name]


class Wire:
    """A connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = b""
        sock.settimeout(TIMEOUT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, *parts: bytes) -> None:
        """Write bytes, each part in a system call of its own."""
        for part in parts:
            self.sock.sendall(part)

    def send_chunk(self, data: bytes) -> None:
        """Write one chunk of a chunked body."""
        self.sock.sendall(chunk(data))

    def some(self, timeout_s: float = TIMEOUT_S) -> bytes:
        """Return what is there or comes next; empty at FIN. Raises ConnectionResetError and TimeoutError."""
        if not self.buffer:
            self.sock.settimeout(timeout_s)
            return self.sock.recv(262_144)
        data, self.buffer = self.buffer, b""
        return data

    def exactly(self, size: int) -> bytes:
        """Return so many bytes. Raises EOFError at FIN."""
        parts, missing = [], size
        while missing:
            data = self._more()
            parts.append(data[:missing])
            self.buffer = data[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)

    def until(self, mark: bytes) -> bytes:
        """Return everything up to and with a mark. Raises EOFError at FIN."""
        data = self.buffer
        while mark not in data:
            self.buffer = b""
            data += self._more()
        at = data.index(mark) + len(mark)
        self.buffer = data[at:]
        return data[:at]

    def _more(self) -> bytes:
        data = self.some()
        if not data:
            raise EOFError
        return data

    def head(self) -> Message:
        """Read a message's head."""
        line, *rows = self.until(b"\r\n\r\n")[:-4].split(b"\r\n")
        pairs = [row.partition(b":") for row in rows]
        return Message(line, [(name, value.strip()) for name, _, value in pairs])

    def parts(self, head: Message) -> Iterator[bytes]:
        """Yield a body as it arrives; EOFError and ConnectionResetError tell of an end before its time."""
        if head.values(b"transfer-encoding"):
            yield from self._chunks()
        elif lengths := head.values(b"content-length"):
            missing = int(lengths[0])
            while missing:
                data = self._more()
                self.buffer = data[missing:]
                yield data[:missing]
                missing -= len(data[:missing])
        elif head.line.startswith(b"HTTP/"):
            while data := self.some():
                yield data

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.until(b"\r\n").split(b";")[0], 16):
            data = self.exactly(size + 2)
            assert data.endswith(b"\r\n")
            yield data[:-2]
        while self.until(b"\r\n") != b"\r\n":
            pass

    def body(self, head: Message) -> Message:
        """Read the body behind a head, to whatever end it comes."""
        parts, end = [], "whole"
        try:
            for part in self.parts(head):
                parts.append(part)  # noqa: PERF402 - `extend` would lose what came before an early end
        except EOFError:
            end = "short"
        except ConnectionResetError:
            end = "reset"
        return head._replace(body=b"".join(parts), end=end)

    def message(self, *, bodyless: bool = False) -> Message:
        """Read a whole message; `bodyless` for answers to HEAD."""
        head = self.head()
        if bodyless or (head.line.startswith(b"HTTP/") and head.status in {101, 204, 304}):
            return head
        return self.body(head)

    def flushed(self) -> None:
        """Wait until the peer's system has acknowledged everything."""
        deadline = time.monotonic() + TIMEOUT_S
        while struct.unpack("i", fcntl.ioctl(self.sock, _SIOCOUTQ, b"\0" * 4))[0]:
            assert time.monotonic() < deadline, "the peer does not read"
            time.sleep(0.002)

    def gone(self, timeout_s: float) -> bool:
        """Wait for the peer's FIN or RST; what it still sends is thrown away."""
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            try:
                if not self.some(left):
                    return True
            except TimeoutError:  # an OSError too, and no end
                return False
            except OSError:
                return True
        return False

    def silent(self, seconds: float) -> bool:
        """Tell whether nothing at all comes for so long."""
        try:
            self.buffer = self.some(seconds)
        except TimeoutError:
            return True
        return False

    def close(self) -> None:
        """End with FIN."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def reset(self) -> None:
        """End with RST."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def chunk(data: bytes) -> bytes:
    """Frame a chunk."""
    return b"%x\r\n" % len(data) + data + b"\r\n"


LAST_CHUNK = b"0\r\n\r\n"

# An answer that any client and any gateway of OpenAI's API takes for one.
ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"m","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"yes","refusal":null},"logprobs":null,"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}'
)


def response(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """Write a whole response with a Content-Length."""
    return b"\r\n".join((b"HTTP/1.1 " + status, b"content-length: %d" % len(body), *headers, b"", body))


def stream_head(*headers: bytes, status: bytes = b"200 OK") -> bytes:
    """Write the head of a chunked event stream."""
    rows = (b"HTTP/1.1 " + status, b"content-type: text/event-stream", b"transfer-encoding: chunked")
    return b"\r\n".join((*rows, *headers, b"", b""))


def until(condition, timeout_s: float = TIMEOUT_S):
    """Poll until a condition gives something true, and return that."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "condition never held"
        time.sleep(0.01)
    return found
