"""The seam to the upstream: one request out, one reply in, both in raw bytes.

`Transport.open` returns as soon as the reply's head is there. `Reply.read` returns what the upstream has sent since
the last call (at least a byte), and empty bytes at a proper end. Whatever goes wrong is an `UpstreamFault`; a
cancelled `open` and an early `close` end the upstream connection at once. No decoding, no redirects, no cookies, no
headers added but `Host` and the framing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

Body = bytes | AsyncIterator[bytes]


class Upstream(NamedTuple):
    """Where requests go, from a base URL as clients write it."""

    # scheme://host:port
    origin: str
    # What stands for `/v1`: the base URL's path, without a slash at its end.
    base: bytes

    def target(self, raw_path: bytes, query: bytes) -> bytes:
        """Map the client's path to the upstream's: `/v1/x` -> `{base}/x`, any other path as it is."""
        path = raw_path
        if raw_path.startswith(b"/v1/"):
            path = self.base + raw_path[3:]
        elif raw_path == b"/v1":
            path = self.base or b"/"
        return path + b"?" + query if query else path


def parse_upstream(url: str) -> Upstream:
    """Split a base URL such as `https://api.openai.com/v1` (checked by the configuration)."""
    parts = urlsplit(url)
    return Upstream(f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/").encode())


class Outgoing(NamedTuple):
    """A request to the upstream. `body` is None without one; `headers` keep the client's order and repetition."""

    method: str
    upstream: Upstream
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: Body | None


class Reply(Protocol):
    """A reply whose head has arrived."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Raw headers, in order."""

    async def read(self) -> bytes:
        """Return the next bytes, empty at the end. Raises UpstreamFault."""

    def rest(self) -> bytes:
        """Return what had arrived before a fault and was not read yet."""

    async def close(self) -> None:
        """Give a connection read to its end back; close any other at once. May be called twice."""


class Transport(Protocol):
    """A client for upstreams."""

    async def open(self, request: Outgoing) -> Reply:
        """Send a request and return the reply's head. Raises UpstreamFault."""

    async def close(self) -> None:
        """Close all connections."""
