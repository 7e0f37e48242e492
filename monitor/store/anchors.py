"""The anchors of each baseline: stored exchanges that are scored again to see whether the scorer is still the same.

Law of this file: anchors are written with the baseline they belong to and never change; only what the last look found
does. The body holds texts as they were mirrored, so redaction has been through them.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from monitor.evidence.rescoring import Anchors, Noise, Rescored, anchors_from_bytes, anchors_to_bytes
from monitor.store.database import Database


class Look(msgspec.Struct, frozen=True):
    """What the last look at a baseline's anchors found, and the noise that the first one taught."""

    at: float
    noise: Noise
    found: Rescored


class StoredLook(NamedTuple):
    """A look with whose it is."""

    route: str
    baseline: str
    look: Look


class AnchorSets:
    """Anchors by (route, baseline id)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, route: str, baseline: str, anchors: Anchors) -> None:
        """Keep the anchors of a baseline."""
        self._database.execute(
            "INSERT OR REPLACE INTO anchors (route, baseline, body, look) VALUES (?, ?, ?, NULL)",
            (route, baseline, anchors_to_bytes(anchors)),
        )

    def get(self, route: str, baseline: str) -> Anchors | None:
        """Return the anchors of a baseline; None where it has none that can be read."""
        query = "SELECT body FROM anchors WHERE route = ? AND baseline = ?"
        found = self._database.row(query, (route, baseline))
        try:
            return anchors_from_bytes(found[0]) if found else None
        except ValueError:
            return None

    def look(self, route: str, baseline: str) -> Look | None:
        """Return what the last look found; None before the first."""
        query = "SELECT look FROM anchors WHERE route = ? AND baseline = ?"
        found = self._database.row(query, (route, baseline))
        return _decoded(found[0]) if found else None

    def save_look(self, route: str, baseline: str, look: Look) -> None:
        """Replace what the last look found."""
        self._database.execute(
            "UPDATE anchors SET look = ? WHERE route = ? AND baseline = ?",
            (msgspec.msgpack.encode(look), route, baseline),
        )

    def looks(self) -> list[StoredLook]:
        """Return the last look at every active baseline's anchors."""
        rows = self._database.rows(
            "SELECT a.route, a.baseline, a.look FROM anchors a JOIN baselines b"
            " ON b.route = a.route AND b.id = a.baseline AND b.active = 1 ORDER BY a.route"
        )
        return [
            StoredLook(route, baseline, look)
            for route, baseline, body in rows
            if (look := _decoded(body)) is not None
        ]


def _decoded(body: bytes | None) -> Look | None:
    if body is None:
        return None
    try:
        return msgspec.msgpack.decode(body, type=Look)
    except msgspec.DecodeError:
        return None
