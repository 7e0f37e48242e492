"""The bus: where exchanges wait for the monitor and verdicts for the proxy.

One protocol, one opener. The unit of transport is the batch: what a producer commits at once is read, leased and
acknowledged at once. A batch id is unique for the life of the bus and grows; a reader that records it in the same
transaction as what it made of the batch has therefore read the batch exactly once, whatever is killed when.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from monitor.contract import Exchange, Verdict


class Batch(NamedTuple):
    """A committed batch, leased to one reader."""

    id: int
    exchanges: list[Exchange]


class BusStats(NamedTuple):
    """What happened to exchanges on the bus, in exchanges unless said. All counters only grow."""

    published: int
    acknowledged: int
    # Removed by retention before anybody read them.
    expired: int
    # In batches that could not be decoded; set aside, never served again.
    damaged: int
    waiting: int
    waiting_bytes: int
    # Epoch second of the oldest waiting batch; None when nothing waits.
    oldest_waiting: float | None
    # Dropped by producers, as they report it: these never came here.
    dropped: int = 0


class Losses(NamedTuple):
    """Exchanges that should have been scored, and those of them that never can be."""

    # Published, or dropped by a producer that was to publish them.
    offered: int
    # Dropped, expired or damaged.
    lost: int

    @property
    def share(self) -> float:
        """The part that was lost, in [0, 1]."""
        return self.lost / self.offered if self.offered else 0.0


class BusError(RuntimeError):
    """The bus cannot be used now; the message says why."""


class Bus(Protocol):
    """Exchanges in, verdicts out. Implementations are synchronous and belong to one thread."""

    @property
    def identity(self) -> str:
        """Name of this very bus, made with it: batch ids mean something only together with it."""

    def publish(self, producer: str, exchanges: Sequence[Exchange], now: float) -> int:
        """Commit a batch durably and return its id. Raises BusError; then nothing was committed."""

    def published_by(self, producer: str) -> int:
        """Count the exchanges that this producer has committed, ever."""

    def report_dropped(self, producer: str, total: int, now: float) -> None:
        """Note how many exchanges a producer has dropped, ever; what is new is lost in the minute of `now`."""

    def losses(self, since: float) -> Losses:
        """Count from the minute of `since` on; an exchange belongs to the minute in which its batch was committed."""

    def fetch(self, reader: str, limit: int, now: float, lease_s: float = 60.0) -> list[Batch]:
        """Lease the oldest free batches, about `limit` exchanges of them; a lapsed lease is free again."""

    def ack(self, batch_ids: Sequence[int]) -> None:
        """Declare batches done. Acknowledging twice is harmless."""

    def release(self, reader: str) -> None:
        """Free what this reader has leased and not acknowledged, for an orderly stop."""

    def trim(self, now: float) -> int:
        """Apply the retention; return how many unread exchanges were lost to it."""

    def kept(self, since: float, until: float) -> Iterator[list[Exchange]]:
        """Read again what the retention has left of the batches committed in [since, until); leases nothing."""

    def put_verdicts(self, verdicts: Sequence[Verdict]) -> None:
        """Replace the published verdicts."""

    def verdicts(self) -> tuple[int, list[Verdict]]:
        """Return the published verdicts and a version that changes with each `put_verdicts`."""

    def verdict_version(self) -> int:
        """Return that version alone, cheaply."""

    def stats(self) -> BusStats:
        """Collect the counters."""

    def close(self) -> None:
        """Release files and connections."""
