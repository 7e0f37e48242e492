"""What a worker counts, and where it stands on its scoreboard: tables only.

Law: a scoreboard is a vector of uint64. First `SLOTS`, the same for every route; then `ROWS` rows, one a route, each a
name and `ROW`. Row 0 is that of requests which no route took, the last one that of routes beyond the others. A
histogram is a slot a bucket (`EDGES` are upper edges in seconds, the last bucket has none) and a sum in microseconds.
The first slot says which layout this is, so that a board of another version is not taken for one of this.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

from proxy.faults import FAULTS

# Reasons for which an exchange never reaches the bus. The serving thread writes the first line, the mirror's writer
# the second; `crash` is only ever derived, when a dead worker is settled.
DROP_REASONS = (
    "endpoint", "mirror_off", "not_routed", "opted_out", "sampled_out", "too_large", "queue_full", "crash",
)  # fmt: skip
WRITER_DROP_REASONS = ("bus_error", "internal")
# Those among them that nobody asked for: the monitor is told, because what it then judges is not all there was.
LOSSES = ("too_large", "queue_full", "crash", "bus_error", "internal")
# Why a mirrored exchange is not whole: who ended it, or its answer has no end mark, or it cannot be read.
PARTIAL_REASONS = ("client_left", "upstream", "draining", "truncated", "unreadable")
# The first three are indices of how far the response has come; the last one is the first, during an upload.
LEFT_PHASES = ("before_head", "before_body", "mid_stream", "upload")
# Why a client's connection was closed on which nothing came: since it began, or since its last answer.
CLOSE_REASONS = ("silent", "idle")
# What became of a trace's span that was to be sent.
SPAN_OUTCOMES = ("sent", "dropped", "failed")
STATUS_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
GAUGES = ("queue_exchanges", "queue_bytes", "started")

LATENCY_EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
OWN_EDGES = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
)  # fmt: skip


class Histogram(NamedTuple):
    """A histogram by its name in the slots."""

    name: str
    edges: tuple[float, ...]

    @property
    def slots(self) -> tuple[str, ...]:
        """Its buckets and its sum."""
        return (*(f"{self.name}.{i}" for i in range(len(self.edges) + 1)), f"{self.name}.sum_us")


ADDED = Histogram("added", OWN_EDGES)
LOOP = Histogram("loop", OWN_EDGES)
UPSTREAM = Histogram("upstream", LATENCY_EDGES)
FIRST = Histogram("first", LATENCY_EDGES)
WHOLE = Histogram("whole", LATENCY_EDGES)

SLOTS: tuple[str, ...] = (
    "layout",
    "received",
    "ended",
    "mirrored",
    "malformed",
    "bus_retries",
    "out_of_files",
    *(f"partial.{reason}" for reason in PARTIAL_REASONS),
    *(f"dropped.{reason}" for reason in (*DROP_REASONS, *WRITER_DROP_REASONS)),
    *(f"fault.{code}" for code in FAULTS),
    *(f"left.{phase}" for phase in LEFT_PHASES),
    *(f"closed.{reason}" for reason in CLOSE_REASONS),
    *(f"spans.{outcome}" for outcome in SPAN_OUTCOMES),
    *ADDED.slots,
    *LOOP.slots,
    *GAUGES,
)
INDEX: Mapping[str, int] = {name: i for i, name in enumerate(SLOTS)}

# What is counted for each route. The classes come first: the class of a status is an offset.
ROW: tuple[str, ...] = (
    *(f"status.{kind}" for kind in STATUS_CLASSES),
    *UPSTREAM.slots,
    *FIRST.slots,
    *WHOLE.slots,
)
OFFSET: Mapping[str, int] = {name: i for i, name in enumerate(ROW)}
ROWS = 64
# No route is called so.
UNROUTED, OTHERS = "", "*"
# A route's name is ASCII and at most so long, in bytes and in slots.
NAME_BYTES = 64
NAME_SLOTS = NAME_BYTES // 8
ROW_SIZE = NAME_SLOTS + len(ROW)
TOTAL = len(SLOTS) + ROWS * ROW_SIZE
LAYOUT = int.from_bytes(hashlib.blake2b(" ".join((*SLOTS, *ROW)).encode(), digest_size=7).digest(), "big")


def row_at(number: int) -> int:
    """Return where the counters of a row begin."""
    return len(SLOTS) + number * ROW_SIZE + NAME_SLOTS


def of_route(slot: str, route: str) -> str:
    """Name a row's counter among all counters."""
    return f"{slot}@{route}"
