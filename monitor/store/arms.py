"""The arms: everyone who is judged, their sketches over time and their sequential evidence.

Law of this file: sketches are kept by minute, hour and day, all exact, so that a window of any length is few rows.
What is folded is also merged into the arm's `pending` sketch, which the next step of its evidence takes and clears in
one transaction: evidence sees every exchange once, however many workers there are and whoever is killed. Evidence of
one baseline never sees sketches of another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from typing import NamedTuple

from monitor.sketch.bucket import Bucket, BucketKey
from monitor.store.database import Database

# Minutes that one row covers; each divides the next.
SPANS = (1, 60, 1440)
# Minutes read at once, backwards.
_PAGE = 64


class Arm(NamedTuple):
    """A (route, arm) that exchanges were seen of, and when last (epoch seconds)."""

    route: str
    arm: str
    seen_at: float


class Step(NamedTuple):
    """What a step of evidence is made from: the state before (None: begin), what is new, minutes since."""

    evidence: bytes | None
    delta: Bucket | None
    minutes: float


class Run(NamedTuple):
    """Rows of one span, one after the other: epoch minutes [start, end)."""

    span: int
    start: int
    end: int


def runs(since: int, until: int) -> list[Run]:
    """Cover the epoch minutes [since, until) by as few rows as there are: minutes, hours, days, hours, minutes."""
    found: list[Run] = []
    while since < until:
        span = max(span for span in SPANS if since % span == 0 and since + span <= until)
        if found and found[-1].span == span:
            found[-1] = found[-1]._replace(end=since + span)
        else:
            found.append(Run(span, since, since + span))
        since += span
    return found


class Arms:
    """Windows and evidence of each (route, arm)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def seen(self) -> list[Arm]:
        """Return everyone exchanges were seen of."""
        rows = self._database.rows("SELECT route, arm, seen_at FROM arms ORDER BY route, arm")
        return [Arm(*row) for row in rows]

    def window(self, key: tuple[str, str], baseline: str, since: int, until: int) -> Bucket | None:
        """Merge the sketches of the epoch minutes [since, until) under one baseline; None where there are none."""
        found = [bucket for run in runs(since, until) for bucket in self._spans(key, baseline, run)]
        return reduce(Bucket.merge, found) if found else None

    def _spans(self, key: tuple[str, str], baseline: str, run: Run) -> list[Bucket]:
        query = (
            "SELECT state FROM buckets WHERE route = ? AND arm = ? AND baseline = ? AND span = ?"
            " AND start >= ? AND start < ?"
        )
        return [Bucket.from_bytes(state) for (state,) in self._database.rows(query, (*key, baseline, *run))]

    def back(
        self, key: tuple[str, str], baseline: str, since: int, until: int
    ) -> Iterator[tuple[int, Bucket]]:
        """Yield those of the epoch minutes [since, until) that hold anything under a baseline, the newest first."""
        query = (
            "SELECT start, state FROM buckets WHERE route = ? AND arm = ? AND baseline = ? AND span = 1"
            " AND start >= ? AND start < ? ORDER BY start DESC LIMIT ?"
        )
        rows = self._database.rows(query, (*key, baseline, since, until, _PAGE))
        while rows:
            yield from ((start, Bucket.from_bytes(state)) for start, state in rows)
            rows = self._database.rows(query, (*key, baseline, since, rows[-1][0], _PAGE))

    def step(
        self, key: tuple[str, str], baseline: str, now: float, advance: Callable[[Step], bytes]
    ) -> bytes:
        """Advance the evidence of an arm by what was folded since its last step; return its new state.

        With nothing new the state stays and the time since the last step goes on.
        """
        with self._database.writing():
            found = self._database.row(
                "SELECT baseline, evidence, pending, stepped_at FROM arms WHERE route = ? AND arm = ?", key
            )
            if found is None or found[0] != baseline:
                return advance(Step(None, None, 0.0))
            _, evidence, pending, stepped_at = found
            if pending is None and evidence is not None:
                return bytes(evidence)
            delta = Bucket.from_bytes(pending) if pending is not None else None
            state = advance(Step(evidence, delta, max(0.0, now - (stepped_at or now)) / 60.0))
            self._database.execute(
                "UPDATE arms SET evidence = ?, pending = NULL, stepped_at = ? WHERE route = ? AND arm = ?",
                (state, now, *key),
            )
        return state

    def forget(self, before: float) -> None:
        """Drop sketches of minutes before this epoch second, and arms not seen since."""
        self._database.execute("DELETE FROM buckets WHERE start < ?", (before / 60.0 - SPANS[-1],))
        self._database.execute("DELETE FROM arms WHERE seen_at < ?", (before,))


def see(database: Database, route: str, arm: str, now: float) -> None:
    """Note that exchanges of this arm were read."""
    database.execute(
        "INSERT INTO arms (route, arm, seen_at) VALUES (?, ?, ?)"
        " ON CONFLICT (route, arm) DO UPDATE SET seen_at = max(seen_at, excluded.seen_at)",
        (route, arm, now),
    )


def merge_spans(database: Database, deltas: Mapping[BucketKey, Bucket]) -> None:
    """Merge new sketches into those of their minute, hour and day."""
    spans: dict[tuple[str, str, str, int, int], Bucket] = {}
    for (route, arm, minute), delta in deltas.items():
        for span in SPANS:
            key = (route, arm, delta.baseline, span, minute - minute % span)
            spans[key] = spans[key].merge(delta) if key in spans else delta
    where = "WHERE route = ? AND arm = ? AND baseline = ? AND span = ? AND start = ?"
    for key, delta in spans.items():
        found = database.row(f"SELECT state FROM buckets {where}", key)  # noqa: S608 - a constant
        if found:
            state = Bucket.from_bytes(found[0]).merge(delta).to_bytes()
            database.execute(f"UPDATE buckets SET state = ? {where}", (state, *key))  # noqa: S608 - a constant
        else:
            database.execute("INSERT INTO buckets VALUES (?, ?, ?, ?, ?, ?)", (*key, delta.to_bytes()))


def merge_pending(database: Database, deltas: Mapping[BucketKey, Bucket]) -> None:
    """Merge new sketches into what the evidence of their arm has not yet seen."""
    by_arm: dict[tuple[str, str], list[Bucket]] = defaultdict(list)
    for (route, arm, _), delta in deltas.items():
        by_arm[route, arm].append(delta)
    for key, parts in by_arm.items():
        total = reduce(Bucket.merge, parts)
        found = database.row("SELECT baseline, pending FROM arms WHERE route = ? AND arm = ?", key)
        same = found is not None and found[0] == total.baseline
        if found is not None and same and found[1] is not None:
            total = total.merge(Bucket.from_bytes(found[1]))
        database.execute(
            "UPDATE arms SET pending = ?, baseline = ?, evidence = CASE WHEN baseline IS ? THEN evidence END,"
            " stepped_at = coalesce(stepped_at, seen_at) WHERE route = ? AND arm = ?",
            (total.to_bytes(), total.baseline, total.baseline, *key),
        )
