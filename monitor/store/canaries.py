"""The canaries' courses, one a model.

Law of this file: a course is read, changed and written in one transaction, so that several workers may take in answers.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from monitor.canary.course import Course
from monitor.store.database import Database


class Canaries:
    """Courses by model."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, model: str) -> Course | None:
        """Return a model's course; None where there is none that can be read."""
        found = self._database.row("SELECT body FROM canaries WHERE model = ?", (model,))
        if found is None:
            return None
        try:
            return msgspec.msgpack.decode(found[0], type=Course)
        except (msgspec.DecodeError, ValueError):
            return None

    def change(self, model: str, how: Callable[[Course | None], Course]) -> Course:
        """Replace a model's course by what `how` makes of it."""
        with self._database.writing():
            course = how(self.get(model))
            self._database.execute(
                "INSERT OR REPLACE INTO canaries (model, body) VALUES (?, ?)",
                (model, msgspec.msgpack.encode(course)),
            )
        return course
