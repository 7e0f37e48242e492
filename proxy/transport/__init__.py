"""The seam to the upstream: one request out, one reply in, both in raw bytes.

`Transport.open` returns as soon as the reply's head is there. `Reply.read` returns what the upstream has sent since
the last call (at least a byte), and empty bytes at a proper end. Whatever goes wrong is an `UpstreamFault`; a body
that ends in one ends the exchange in that. A cancelled `open` and an early `close` end the upstream connection at once.
No decoding, no redirects, no cookies, no headers added but `Host` and the framing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from proxy.faults import UpstreamFault
from proxy.tunnel import Duplex

Body = bytes | AsyncIterator[bytes]


class Upstream(NamedTuple):
    """Where requests go, from a base URL as clients write it."""

    # scheme://host:port
    origin: str
    # What stands for `/v1`: the base URL's path, without a slash at its end.
    base: bytes

    def target(self, target: bytes) -> bytes:
        """Map the client's target to the upstream's: `/v1/x` -> `{base}/x`, any other path as it is."""
        if target.startswith(b"/v1/"):
            return self.base + target[3:]
        if target.startswith(b"/v1?") or target == b"/v1":
            return (self.base or b"/") + target[3:]
        return target


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

    def tunnel(self) -> Duplex:
        """Return the connection behind a 101, which is its holder's from then on."""

    async def close(self) -> None:
        """Give a connection read to its end back; close any other at once. May be called twice."""


class PlainReply:
    """What replies that never switch protocols have in common."""

    def tunnel(self) -> Duplex:
        """Fail: there is no connection behind such a reply."""
        raise UpstreamFault("websocket_unsupported")


class Transport(Protocol):
    """A client for upstreams."""

    async def open(self, request: Outgoing) -> Reply:
        """Send a request and return the reply's head. Raises UpstreamFault."""

    async def close(self) -> None:
        """Close all connections."""
