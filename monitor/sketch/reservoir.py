"""A mergeable sample of exchanges: the k with the smallest hash of their id (bottom-k, Cohen & Kaplan 2007).

Every exchange has the same chance whatever the order of merging, and merging twice the same adds nothing.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable

import msgspec

KEPT = 8
EXCERPT_CHARS = 200


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """A sampled exchange, in excerpt; `hour` counts from the epoch, 0 where it has no time."""

    priority: int
    id: str
    prompt: str
    response: str
    prompt_cluster: int
    response_cluster: int
    novelty: float
    user: str = ""
    hour: int = 0


def priority_of(exchange_id: str) -> int:
    """Return a uniform 63-bit number that depends on the id alone."""
    return int.from_bytes(hashlib.blake2b(exchange_id.encode(), digest_size=8).digest(), "big") >> 1


def smallest(kept: Iterable[Kept], k: int = KEPT) -> tuple[Kept, ...]:
    """Return the k of smallest priority, each id once, in order."""
    distinct = {(item.priority, item.id): item for item in kept}
    return tuple(distinct[key] for key in heapq.nsmallest(k, distinct))


def excerpt(text: str) -> str:
    """Return the beginning of a text on one line, with an ellipsis where it goes on."""
    line = " ".join(text[: EXCERPT_CHARS * 2].split())
    return line if len(line) <= EXCERPT_CHARS else line[: EXCERPT_CHARS - 1] + "…"
