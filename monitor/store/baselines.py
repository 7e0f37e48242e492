"""Baselines: every one that was made, and which one each route is compared with.

Law of this file: at most one baseline of a route is active. Choosing another starts the evidence of the route's arms
anew, because it was gathered against something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from monitor.baseline import Baseline
from monitor.store.database import Database
from monitor.store.lessons import Lesson, add_lesson, remove_lessons


class Listed(NamedTuple):
    """A baseline without its body. `origin` says in words what it was made from; `created` in epoch seconds.

    `seasonality`: hour_of_week, hour_of_day or none, and why in words; empty where an older version made it.
    """

    id: str
    route: str
    scorer: str
    origin: str
    created: float
    size: int
    active: bool
    seasonality: str
    seasonality_why: str


class Baselines:
    """What routes are compared with."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def listed(self) -> list[Listed]:
        """Return all, the newest last."""
        rows = self._database.rows(
            "SELECT id, route, scorer, origin, created, size, active, coalesce(seasonality, ''),"
            " coalesce(seasonality_why, '') FROM baselines ORDER BY created, id"
        )
        return [Listed(*row)._replace(active=bool(row[6])) for row in rows]

    def active(self) -> dict[str, str]:
        """Return route -> id of the baseline it is compared with."""
        return active_ids(self._database)

    def get(self, route: str, baseline_id: str) -> Baseline:
        """Return a baseline. Raises KeyError where there is none of this id, ValueError where it cannot be read."""
        query = "SELECT state FROM baselines WHERE route = ? AND id = ?"
        found = self._database.row(query, (route, baseline_id))
        if found is None:
            raise KeyError(baseline_id)
        return Baseline.from_bytes(found[0])

    def add(self, baseline: Baseline, origin: str) -> None:
        """Keep a baseline and compare its route with it from now on."""
        with self._database.writing():
            self._insert(baseline, origin)
            self._activate(baseline.route, baseline.id)

    def add_learnt(self, baseline: Baseline, used: Sequence[int], rest: Lesson | None) -> bool:
        """Keep the first baseline of a route, made from the lessons `used`; put back the `rest` of the last one.

        Returns False when the route has a baseline by now. Raises Outdated when the lessons are gone.
        """
        with self._database.writing():
            if baseline.route in active_ids(self._database):
                return False
            remove_lessons(self._database, used)
            if rest is not None:
                add_lesson(self._database, rest)
            self._insert(baseline, "traffic")
            self._activate(baseline.route, baseline.id)
        return True

    def use(self, route: str, baseline_id: str) -> None:
        """Compare the route with this one of its baselines from now on. Raises KeyError where it has no such one."""
        query = "SELECT 1 FROM baselines WHERE route = ? AND id = ?"
        with self._database.writing():
            if self._database.row(query, (route, baseline_id)) is None:
                raise KeyError(baseline_id)
            self._activate(route, baseline_id)

    def _insert(self, baseline: Baseline, origin: str) -> None:
        season = baseline.seasonality
        row = (
            *(baseline.id, baseline.route, baseline.scorer, origin, baseline.created, baseline.size),
            *(season.kind, season.why),
        )
        self._database.execute(
            "INSERT OR REPLACE INTO baselines"
            " (id, route, scorer, origin, created, size, seasonality, seasonality_why, active, state)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?)",
            (*row, baseline.to_bytes()),
        )

    def _activate(self, route: str, baseline_id: str) -> None:
        if active_ids(self._database).get(route) == baseline_id:
            return
        self._database.execute("UPDATE baselines SET active = (id = ?) WHERE route = ?", (baseline_id, route))
        self._database.execute(
            "UPDATE arms SET baseline = NULL, evidence = NULL, pending = NULL, stepped_at = NULL WHERE route = ?",
            (route,),
        )


def active_ids(database: Database) -> dict[str, str]:
    """Return route -> id of the active baseline."""
    return dict(database.rows("SELECT route, id FROM baselines WHERE active = 1"))
