"""After a replay: whether the counts of every stage fit together, to the exchange.

Law of this file: pure. It knows where each process tells its counts (`/-/status` of proxy and monitor) and what must
be equal: sent = answered, received = mirrored + dropped by reason, mirrored = scored + skipped by reason + waiting.
"""

from __future__ import annotations

from typing import NamedTuple


class ProxyCounts(NamedTuple):
    """Exchanges since the bus began, over all workers, dead ones included."""

    received: int
    mirrored: int
    dropped: dict[str, int]

    @property
    def dropped_total(self) -> int:
        """Dropped for any reason."""
        return sum(self.dropped.values())


class MonitorCounts(NamedTuple):
    """Exchanges since the bus began."""

    scored: int
    skipped: dict[str, int]
    waiting: int

    @property
    def skipped_total(self) -> int:
        """Read and not scored, for any reason."""
        return sum(self.skipped.values())


class Line(NamedTuple):
    """One comparison: two sides that must be equal."""

    stage: str
    left: int
    right: int
    detail: str

    @property
    def fits(self) -> bool:
        """Whether they are."""
        return self.left == self.right
