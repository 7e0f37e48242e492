"""What a request's head must be before anything is done with it.

Law: pure; a head is objected to for what it is, never for how the network cut it. What two readers could understand
differently is refused here, because one of them is the upstream: framing that says two things, two hosts or none
(RFC 9112 section 3.2), transfer codings that we would lose, targets of open proxies, and a body behind a WebSocket
handshake.
"""

from __future__ import annotations

import math
from itertools import chain
from typing import NamedTuple

from monitor.contract.config import Limits
from proxy.headers import Headers, value_of

_VERSIONS = frozenset({"1.0", "1.1"})
# ` HTTP/1.1` with the spaces and line ends of a head that holds nothing else.
_AROUND = len("  HTTP/1.1\r\n\r\n")


def head_bytes(method: str, target: bytes, headers: Headers) -> int:
    """Count the bytes of a head as it is written without spaces that mean nothing."""
    # A line has `: ` and its end beside its name and value.
    return (
        _AROUND + len(method) + len(target) + sum(map(len, chain.from_iterable(headers))) + 4 * len(headers)
    )


class Head(NamedTuple):
    """A request's head. Names of headers are in lower case; `at_most` bounds its bytes, which are not counted in vain."""

    version: str
    method: str
    target: bytes
    headers: Headers
    at_most: float = math.inf


def objection(head: Head, limits: Limits) -> str:
    """Return the code of the fault that a request's head is, empty where it is none."""
    version, method, target, headers, at_most = head
    if len(target) > limits.target_bytes:
        return "target_too_long"
    if len(headers) > limits.header_count:
        return "too_many_headers"
    if at_most > limits.head_bytes and head_bytes(method, target, headers) > limits.head_bytes:
        return "head_too_large"
    names = [name for name, _ in headers]
    hosts = names.count(b"host")
    if (
        version not in _VERSIONS
        or not target.startswith(b"/")
        or hosts > 1
        or (not hosts and version == "1.1")
    ):
        return "malformed_request"
    if (
        b"transfer-encoding" in names
        and value_of(headers, b"transfer-encoding").strip().lower() != b"chunked"
    ):
        return "malformed_request"
    return ""


def announced(headers: Headers) -> int:
    """Return how long the head says that its body is, 0 where it does not say. Names are in lower case."""
    return int(value_of(headers, b"content-length") or 0)


def framing(headers: Headers) -> bytes:
    """Write the head's lines that frame its body; empty where there is none. Names are in lower case."""
    if value_of(headers, b"transfer-encoding"):
        return b"transfer-encoding: chunked\r\n"
    length = announced(headers)
    return b"content-length: %d\r\n" % length if length else b""
