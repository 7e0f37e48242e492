"""The ledger: which batches are in the sketches, and the one transaction that puts them there.

Law of this file: exactly once. What was folded of some batches and the batches' ids are written by the same
transaction, which writes nothing when one of these ids is there already, when the lease on them has run out (another
reader may have them), or when a route's baseline has changed since they were folded. So it does not matter who is
killed when: a batch is in the sketches if and only if its id is in the ledger, and readers acknowledge a batch on the
bus only after it is. Counters belong to the same transaction: they count each exchange once, as `scored` or as
`skipped.<reason>`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from monitor.review.candidates import Offer
from monitor.sketch.bucket import Bucket, BucketKey
from monitor.store.arms import merge_pending, merge_spans, see
from monitor.store.baselines import active_ids
from monitor.store.database import Database, Outdated
from monitor.store.feedback import Reward, add_rewards
from monitor.store.lessons import Lesson, add_lesson, remove_lessons
from monitor.store.reviews import add_offers

# Seconds that ids stay after their batches were folded: longer than any reader can still hold such a batch.
_KEPT_S = 3600.0


class CounterKey(NamedTuple):
    """What is counted for whom."""

    route: str
    arm: str
    name: str


class Work(NamedTuple):
    """What became of some batches of a bus.

    `assumed`: the baseline id (None: none yet) of every route among them when they were folded. `lease_until`: epoch
    second after which other readers may have them.
    """

    bus: str
    batch_ids: Sequence[int]
    lease_until: float
    assumed: Mapping[str, str | None]
    deltas: Mapping[BucketKey, Bucket]
    lessons: Sequence[Lesson]
    counts: Mapping[CounterKey, int]
    reviews: Sequence[Offer] = ()
    rewards: Sequence[Reward] = ()


class Ledger:
    """Batches in, exactly once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def recorded(self, bus: str, batch_ids: Sequence[int]) -> set[int]:
        """Return those of these batches that are in the sketches already."""
        return {batch_id for batch_id in batch_ids if self._has(bus, batch_id)}

    def _has(self, bus: str, batch_id: int) -> bool:
        query = "SELECT 1 FROM folded WHERE bus = ? AND batch = ?"
        return self._database.row(query, (bus, batch_id)) is not None

    def all_recorded(self, bus: str) -> list[int]:
        """Return every batch of this bus that is still remembered, to acknowledge them after a crash."""
        rows = self._database.rows("SELECT batch FROM folded WHERE bus = ? ORDER BY batch", (bus,))
        return [batch_id for (batch_id,) in rows]

    def commit(self, work: Work, clock: Callable[[], float]) -> None:
        """Write all of it, or nothing. Raises Outdated and StoreError; then nothing was written."""
        with self._database.writing():
            now = clock()
            if now >= work.lease_until:
                raise Outdated("the lease on these batches has run out")
            if self.recorded(work.bus, work.batch_ids):
                raise Outdated("another reader was faster")
            active = active_ids(self._database)
            if any(active.get(route) != baseline for route, baseline in work.assumed.items()):
                raise Outdated("a baseline has changed")
            self._database.execute_many(
                "INSERT INTO folded VALUES (?, ?, ?)",
                [(work.bus, batch_id, now) for batch_id in work.batch_ids],
            )
            self._write(work, now)

    def _write(self, work: Work, now: float) -> None:
        for route, arm in {(key.route, key.arm) for key in work.counts}:
            see(self._database, route, arm, now)
        add_deltas(self._database, work.deltas)
        for lesson in work.lessons:
            add_lesson(self._database, lesson)
        add_offers(self._database, work.reviews)
        add_rewards(self._database, work.rewards)
        self._database.execute_many(
            "INSERT INTO counters VALUES (?, ?, ?, ?)"
            " ON CONFLICT (route, arm, name) DO UPDATE SET value = value + excluded.value",
            [(*key, value) for key, value in work.counts.items()],
        )

    def sweep(
        self, route: str, baseline: str, ids: Sequence[int], deltas: Mapping[BucketKey, Bucket]
    ) -> None:
        """Replace left-over lessons by what was folded of them. Raises Outdated when another worker was faster."""
        with self._database.writing():
            if active_ids(self._database).get(route) != baseline:
                raise Outdated("the baseline has changed")
            remove_lessons(self._database, ids)
            add_deltas(self._database, deltas)

    def counters(self) -> dict[CounterKey, int]:
        """Return all counters."""
        rows = self._database.rows("SELECT route, arm, name, value FROM counters ORDER BY route, arm, name")
        return {CounterKey(route, arm, name): value for route, arm, name, value in rows}

    def forget(self, now: float) -> None:
        """Drop the ids of batches folded long ago, which the bus does not serve any more."""
        self._database.execute("DELETE FROM folded WHERE at < ?", (now - _KEPT_S,))

    def take_turn(self, name: str, now: float, every_s: float) -> bool:
        """Tell whether this worker is the one to do what one worker does every so often, and note that it does."""
        with self._database.writing():
            found = self._database.row("SELECT at FROM turns WHERE name = ?", (name,))
            if found and now - every_s < found[0] <= now:
                return False
            self._database.execute("INSERT OR REPLACE INTO turns VALUES (?, ?)", (name, now))
        return True


def add_deltas(database: Database, deltas: Mapping[BucketKey, Bucket]) -> None:
    """Merge freshly folded sketches into the stored ones and into what evidence has not yet seen."""
    merge_spans(database, deltas)
    merge_pending(database, deltas)
