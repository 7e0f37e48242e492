"""What the monitor tells about itself, as one document.

Law of this file: collected, never pushed. It reads the store, the bus and the loop's health when somebody asks, on
connections of its own, and changes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import msgspec

from monitor.bus import Bus, BusStats
from monitor.contract import Verdict
from monitor.contract.config import Config
from monitor.evidence.rescoring import change_of
from monitor.service.canaries import CanaryStatus, canary_statuses
from monitor.service.health import Health
from monitor.store import CounterKey, Listed, Store
from monitor.store.anchors import StoredLook


class Counts(msgspec.Struct, frozen=True):
    """What became of the exchanges of one (route, arm)."""

    route: str
    arm: str
    scored: int
    skipped: dict[str, int]


class Learning(msgspec.Struct, frozen=True):
    """How far a route without a baseline has come, in exchanges and in hours of traffic (0 needed: only exchanges count)."""

    route: str
    have: int
    need: int
    hours: float
    need_hours: float


class FeedbackCount(msgspec.Struct, frozen=True):
    """What people have said of a route's exchanges; the route is empty while it is not known."""

    route: str
    accepted: int
    repeated: int


class Missing(msgspec.Struct, frozen=True):
    """Exchanges of the last `window_hours`: offered to the bus, and lost before they could be scored."""

    window_hours: float
    offered: int
    lost: int
    share: float


class ScorerLook(msgspec.Struct, frozen=True):
    """The last look at a route's stored exchanges, scored again: how many, when, and what has changed (empty: nothing)."""

    route: str
    baseline: str
    at: float
    exchanges: int
    changed: str


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of it. Times are epoch seconds, `lag_s` the age of the oldest exchange not yet in the sketches."""

    version: str
    time: float
    started_at: float
    trouble: str
    troubled_since: float | None
    faults: int
    scorer: str | None
    scorer_looks: list[ScorerLook]
    canaries: list[CanaryStatus]
    evaluated_at: float | None
    evaluation_s: float | None
    worked_at: float | None
    bus: dict[str, float | None]
    losses: Missing
    lag_s: float
    counts: list[Counts]
    scored: int
    skipped: dict[str, int]
    learning: list[Learning]
    baselines: list[dict[str, Any]]
    feedback: list[FeedbackCount]
    unmatched_feedback: int
    verdicts: list[Verdict]


class StatusReader:
    """Reads the present state; may be called from any thread."""

    def __init__(
        self, config: Config, store: Store, bus: Bus, health: Health, clock: Callable[[], float]
    ) -> None:
        self._config = config
        self._store = store
        self._bus = bus
        self._health = health
        self._clock = clock
        self._lock = threading.Lock()

    def status(self) -> Status:
        """Collect everything. Raises StoreError and BusError."""
        with self._lock:
            now, stats, health = self._clock(), self._bus.stats(), self._health
            counts = _counts(self._store.ledger.counters())
            active, settings = self._store.baselines.active(), self._config.baseline
            return Status(
                version=version("driftgate"),
                time=now,
                started_at=health.started_at,
                trouble=health.trouble,
                troubled_since=health.troubled_since,
                faults=health.faults,
                scorer=health.scorer,
                scorer_looks=[_look(stored) for stored in self._store.anchors.looks()],
                canaries=canary_statuses(self._config, self._store),
                evaluated_at=health.evaluated_at,
                evaluation_s=health.evaluation_s,
                worked_at=health.worked_at,
                bus=dict(stats._asdict()),
                losses=self._missing(now),
                lag_s=lag(stats, now),
                counts=counts,
                scored=sum(count.scored for count in counts),
                skipped=_sum_of([count.skipped for count in counts]),
                learning=[
                    Learning(route, learnt.scored, settings.size, learnt.hours, settings.learning_hours)
                    for route, learnt in self._store.lessons.learnt().items()
                    if route not in active
                ],
                baselines=[row._asdict() for row in self._store.baselines.listed()],
                feedback=_feedback(self._store.feedback.counters()),
                unmatched_feedback=self._store.feedback.parked(),
                verdicts=self._bus.verdicts()[1],
            )

    def _missing(self, now: float) -> Missing:
        hours = self._config.detection.window_hours
        losses = self._bus.losses(now - 3600.0 * hours)
        return Missing(hours, losses.offered, losses.lost, losses.share)

    def verdicts(self, route: str | None = None) -> list[Verdict]:
        """Return the published verdicts, of one route or of all."""
        with self._lock:
            return [v for v in self._bus.verdicts()[1] if route in (None, v.route)]

    def history(self, route: str) -> list[Verdict]:
        """Return the changes of a route's verdicts, the newest first."""
        with self._lock:
            return self._store.verdicts.history(route)

    def baselines(self) -> list[Listed]:
        """Return all baselines."""
        with self._lock:
            return self._store.baselines.listed()

    def use_baseline(self, route: str, baseline_id: str) -> None:
        """Choose what a route is compared with. Raises KeyError."""
        with self._lock:
            self._store.baselines.use(route, baseline_id)


def lag(stats: BusStats, now: float) -> float:
    """Return the age of the oldest waiting exchange in seconds, 0 where none waits."""
    return 0.0 if stats.oldest_waiting is None else max(0.0, now - stats.oldest_waiting)


def _look(stored: StoredLook) -> ScorerLook:
    changed = change_of(stored.look.found)
    said = changed.said if changed else ""
    return ScorerLook(stored.route, stored.baseline, stored.look.at, stored.look.found.n, said)


def _counts(counters: dict[CounterKey, int]) -> list[Counts]:
    rows: dict[tuple[str, str], Counts] = {}
    for (route, arm, name), value in counters.items():
        row = rows.setdefault((route, arm), Counts(route, arm, 0, {}))
        if name == "scored":
            rows[route, arm] = msgspec.structs.replace(row, scored=value)
        else:
            row.skipped[name.removeprefix("skipped.")] = value
    return list(rows.values())


def _feedback(counters: dict[tuple[str, str], int]) -> list[FeedbackCount]:
    routes = sorted({route for route, _ in counters})
    return [
        FeedbackCount(route, counters.get((route, "accepted"), 0), counters.get((route, "repeated"), 0))
        for route in routes
    ]


def _sum_of(parts: list[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for reason, value in part.items():
            total[reason] = total.get(reason, 0) + value
    return total
