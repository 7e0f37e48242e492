"""Sampling for review: unusual exchanges more often, every exchange sometimes, a bounded number an hour.

Law of this file: pure. Each exchange gets the priority w / u, where w is its weight and u a uniform number that its id
alone decides; of every hour the k largest priorities are kept and the next one is the hour's threshold t. Then the
chance of an exchange to be kept is, given the others, min(1, w / t), so weighting each kept one by max(1, t / w) gives
unbiased sums over all of the hour, however it is cut into batches, workers and order (priority sampling; Duffield, Lund
& Thorup 2007). The floor under the weights keeps that weight bounded: no kind of exchange is never looked at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple, TypeVar

# Weights of exchanges by their p-value: in proportion to 1 / p below `_RARE` / `FLOOR`, between these bounds.
FLOOR, CEILING = 0.05, 10.0
_RARE = 0.01
# By how much the part of the traffic that a standing verdict is about weighs more.
FOCUS = 4.0


class Draw(NamedTuple):
    """The weight of an exchange and its priority."""

    weight: float
    priority: float


def draw(exchange_id: str, p_value: float, *, focused: bool) -> Draw:
    """Return weight and priority of an exchange whose anomaly has this p-value."""
    weight = min(CEILING, max(FLOOR, _RARE / p_value)) * (FOCUS if focused else 1.0)
    return Draw(weight, weight / _uniform(exchange_id))


def _uniform(exchange_id: str) -> float:
    """Return a number in (0, 1] that depends on the id alone, another one than the reservoirs use."""
    digest = hashlib.blake2b(exchange_id.encode("utf-8", "replace"), digest_size=8, person=b"review").digest()
    return (int.from_bytes(digest, "big") + 1) / 2.0**64


Item = TypeVar("Item")


class Kept(NamedTuple):
    """The k largest priorities and the largest of the rest (0: none)."""

    places: tuple[int, ...]
    threshold: float


def keep(priorities: Iterable[float], k: int, threshold: float = 0.0) -> Kept:
    """Keep the k largest priorities above a threshold; return their places, the largest first, and the new one."""
    ordered = sorted(enumerate(priorities), key=lambda pair: (-pair[1], pair[0]))
    above = [(place, priority) for place, priority in ordered if priority > threshold]
    rest = above[k][1] if len(above) > k else 0.0
    below = max((priority for _, priority in ordered if priority <= threshold), default=0.0)
    return Kept(tuple(place for place, _ in above[:k]), max(threshold, rest, below))


def times(weight: float, threshold: float) -> float:
    """Return how many exchanges one that was kept stands for: the inverse of its chance."""
    return max(1.0, threshold / weight)
