"""Lessons: scored exchanges of a route that has no baseline yet, kept until one is learnt from them.

Law of this file: lessons of two scorers are never mixed; the first one of a new scorer removes the others. A lesson
is one row for what one commit brought of one route, in the order of commits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from monitor.store.database import Database, Outdated


class Lesson(NamedTuple):
    """Packed scored exchanges of one route; `scored` counts those that a baseline learns from."""

    route: str
    scorer: str
    scored: int
    body: bytes


class Stored(NamedTuple):
    """A lesson with its place in the file."""

    id: int
    lesson: Lesson


class Lessons:
    """What routes have brought so far."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def learnt(self) -> dict[str, int]:
        """Return for each route with lessons the exchanges that a baseline could learn from."""
        return dict(self._database.rows("SELECT route, sum(scored) FROM lessons GROUP BY route"))

    def of(self, route: str, limit: int = 10**9) -> list[Stored]:
        """Return the lessons of a route in order, `limit` rows at most."""
        query = "SELECT id, route, scorer, scored, body FROM lessons WHERE route = ? ORDER BY id LIMIT ?"
        return [Stored(row[0], Lesson(*row[1:])) for row in self._database.rows(query, (route, limit))]


def add_lesson(database: Database, lesson: Lesson) -> None:
    """Keep a lesson, inside a transaction that the caller holds."""
    database.execute("DELETE FROM lessons WHERE route = ? AND scorer != ?", (lesson.route, lesson.scorer))
    database.execute("INSERT INTO lessons (route, scorer, scored, body) VALUES (?, ?, ?, ?)", lesson)


def remove_lessons(database: Database, ids: Sequence[int]) -> None:
    """Remove lessons, inside a transaction that the caller holds. Raises Outdated when one is not there."""
    if database.execute_many("DELETE FROM lessons WHERE id = ?", [(lesson_id,) for lesson_id in ids]) != len(
        ids
    ):
        raise Outdated("another worker has used these lessons")
