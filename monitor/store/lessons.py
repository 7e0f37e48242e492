"""Lessons: scored exchanges of a route that has no baseline yet, kept until one is learnt from them.

Law of this file: lessons of two scorers are never mixed; the first one of a new scorer removes the others. A lesson
is one row for what one commit brought of one route, in the order of commits; or, where more came than is needed, one
stretch of equal length, numbered in that order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from monitor.store.database import Database, Outdated

_COLUMNS = "route, scorer, scored, body, since, until, stretch"
# Stretches first: what is not cut yet came after them.
_IN_ORDER = "ORDER BY stretch IS NULL, stretch, id"
# These two are asked every few seconds and read an index alone: bodies come to tens of megabytes.
LEARNT = "SELECT route, sum(scored), max(until) - min(since) FROM lessons GROUP BY route"
HEADS = f"SELECT id, scored, stretch FROM lessons WHERE route = ? {_IN_ORDER}"  # noqa: S608 - a constant


class Lesson(NamedTuple):
    """Packed scored exchanges of one route; `scored` counts those that a baseline learns from.

    `since`, `until`: when the first and the last of these came, epoch seconds. `stretch`: its number, where it is one.
    """

    route: str
    scorer: str
    scored: int
    body: bytes
    since: float | None = None
    until: float | None = None
    stretch: int | None = None


class Head(NamedTuple):
    """A lesson without its body."""

    id: int
    scored: int
    stretch: int | None


class Learnt(NamedTuple):
    """Exchanges that a baseline could learn from by now, and the hours from the first to the last."""

    scored: int
    hours: float


NOTHING = Learnt(0, 0.0)


class Stored(NamedTuple):
    """A lesson with its place in the file."""

    id: int
    lesson: Lesson


class Lessons:
    """What routes have brought so far."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def learnt(self) -> dict[str, Learnt]:
        """Return how far each route with lessons has come."""
        return {
            route: Learnt(scored, (seconds or 0.0) / 3600.0)
            for route, scored, seconds in self._database.rows(LEARNT)
        }

    def heads(self, route: str) -> list[Head]:
        """Return the lessons of a route in order, without their bodies."""
        return [Head(*row) for row in self._database.rows(HEADS, (route,))]

    def of(self, route: str, limit: int = 10**9) -> list[Stored]:
        """Return the lessons of a route in order, `limit` rows at most."""
        query = f"SELECT id, {_COLUMNS} FROM lessons WHERE route = ? {_IN_ORDER} LIMIT ?"  # noqa: S608 - constants
        return [Stored(row[0], Lesson(*row[1:])) for row in self._database.rows(query, (route, limit))]

    def fresh(self, route: str) -> list[Stored]:
        """Return the lessons of a route that are not cut into stretches yet, in order."""
        query = f"SELECT id, {_COLUMNS} FROM lessons WHERE route = ? AND stretch IS NULL ORDER BY id"  # noqa: S608 - a constant
        return [Stored(row[0], Lesson(*row[1:])) for row in self._database.rows(query, (route,))]

    def replace(self, ids: Sequence[int], lessons: Sequence[Lesson]) -> None:
        """Put these lessons in the place of those. Raises Outdated when another worker was faster."""
        with self._database.writing():
            remove_lessons(self._database, ids)
            for lesson in lessons:
                add_lesson(self._database, lesson)


def add_lesson(database: Database, lesson: Lesson) -> None:
    """Keep a lesson, inside a transaction that the caller holds."""
    database.execute("DELETE FROM lessons WHERE route = ? AND scorer != ?", (lesson.route, lesson.scorer))
    database.execute(f"INSERT INTO lessons ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", lesson)  # noqa: S608 - a constant


def remove_lessons(database: Database, ids: Sequence[int]) -> None:
    """Remove lessons, inside a transaction that the caller holds. Raises Outdated when one is not there."""
    if database.execute_many("DELETE FROM lessons WHERE id = ?", [(lesson_id,) for lesson_id in ids]) != len(
        ids
    ):
        raise Outdated("another worker has used these lessons")
