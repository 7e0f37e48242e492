"""The bus in memory: the test double of the seam, and the bus of a run within one process.

Law of this file: it keeps the promises of the protocol (leases, retention by count of bytes, counters that add up)
for one process, and nothing of it survives that process.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from monitor.bus import Batch, BusStats, Losses
from monitor.contract import Exchange, Verdict, encode_exchanges


@dataclass(slots=True)
class _Kept:
    exchanges: list[Exchange]
    bytes: int
    created: float
    reader: str = ""
    lease_until: float = 0.0
    done: bool = False


class MemoryBus:
    """Exchanges in, verdicts out, within one process."""

    def __init__(self, *, retention_s: float = 72 * 3600.0, retention_bytes: int = 1024**3) -> None:
        self.identity = uuid.uuid4().hex
        self._retention_s = retention_s
        self._retention_bytes = retention_bytes
        self._batches: dict[int, _Kept] = {}
        self._last_id = 0
        self._published: dict[str, int] = {}
        # What producers have reported, and the sum of all increases.
        self._reported: dict[str, int] = {}
        self._dropped = 0
        # By epoch minute.
        self._offered: Counter[int] = Counter()
        self._lost: Counter[int] = Counter()
        self._acknowledged = 0
        self._expired = 0
        self._verdicts: tuple[int, list[Verdict]] = (0, [])

    def publish(self, producer: str, exchanges: Sequence[Exchange], now: float) -> int:
        """Keep a batch and return its id. Raises ValueError for an empty batch."""
        if not exchanges:
            raise ValueError("a batch needs at least one exchange")
        self._last_id += 1
        self._batches[self._last_id] = _Kept(list(exchanges), len(encode_exchanges(exchanges)), now)
        self._published[producer] = self.published_by(producer) + len(exchanges)
        self._offered[int(now // 60)] += len(exchanges)
        return self._last_id

    def published_by(self, producer: str) -> int:
        """Count the exchanges that this producer has published."""
        return self._published.get(producer, 0)

    def report_dropped(self, producer: str, total: int, now: float) -> None:
        """Note how many exchanges a producer has dropped, ever."""
        new = max(0, total - self._reported.get(producer, 0))
        self._reported[producer] = total
        self._dropped += new
        self._offered[int(now // 60)] += new
        self._lost[int(now // 60)] += new

    def losses(self, since: float) -> Losses:
        """Count what was offered and lost from the minute of `since` on."""
        offered, lost = (
            sum(n for minute, n in counts.items() if minute >= since // 60)
            for counts in (self._offered, self._lost)
        )
        return Losses(offered, lost)

    def fetch(self, reader: str, limit: int, now: float, lease_s: float = 60.0) -> list[Batch]:
        """Lease the oldest free batches, about `limit` exchanges of them (one batch at least)."""
        taken: list[Batch] = []
        total = 0
        for batch_id, batch in self._batches.items():
            if batch.done or batch.lease_until > now:
                continue
            if taken and total + len(batch.exchanges) > limit:
                break
            batch.reader, batch.lease_until = reader, now + lease_s
            total += len(batch.exchanges)
            taken.append(Batch(batch_id, list(batch.exchanges)))
        return taken

    def ack(self, batch_ids: Sequence[int]) -> None:
        """Declare batches done."""
        for batch_id in batch_ids:
            batch = self._batches.get(batch_id)
            if batch and not batch.done:
                batch.done = True
                self._acknowledged += len(batch.exchanges)

    def release(self, reader: str) -> None:
        """Free what this reader has leased and not acknowledged."""
        for batch in self._batches.values():
            if batch.reader == reader:
                batch.lease_until = 0.0

    def trim(self, now: float) -> int:
        """Apply the retention; return how many unread exchanges were lost to it."""
        excess = sum(batch.bytes for batch in self._batches.values()) - self._retention_bytes
        lost = 0
        for batch_id, batch in sorted(self._batches.items(), key=lambda item: (not item[1].done, item[0])):
            leased = not batch.done and batch.lease_until > now
            if leased or not (excess > 0 or batch.created < now - self._retention_s):
                continue
            del self._batches[batch_id]
            excess -= batch.bytes
            if not batch.done:
                lost += len(batch.exchanges)
                self._lost[int(batch.created // 60)] += len(batch.exchanges)
        self._expired += lost
        return lost

    def kept(self, since: float, until: float) -> Iterator[list[Exchange]]:
        """Read again what is still here of the batches published in [since, until)."""
        for batch in list(self._batches.values()):
            if since <= batch.created < until:
                yield list(batch.exchanges)

    def put_verdicts(self, verdicts: Sequence[Verdict]) -> None:
        """Replace the published verdicts."""
        self._verdicts = (self._verdicts[0] + 1, list(verdicts))

    def verdicts(self) -> tuple[int, list[Verdict]]:
        """Return the published verdicts and their version."""
        version, verdicts = self._verdicts
        return version, list(verdicts)

    def verdict_version(self) -> int:
        """Return that version alone."""
        return self._verdicts[0]

    def stats(self) -> BusStats:
        """Collect the counters."""
        waiting = [batch for batch in self._batches.values() if not batch.done]
        return BusStats(
            published=sum(self._published.values()),
            acknowledged=self._acknowledged,
            expired=self._expired,
            damaged=0,
            waiting=sum(len(batch.exchanges) for batch in waiting),
            waiting_bytes=sum(batch.bytes for batch in waiting),
            oldest_waiting=min((batch.created for batch in waiting), default=None),
            dropped=self._dropped,
        )

    def close(self) -> None:
        """Nothing is held."""
