"""Verdicts: the last one of each arm, and the history of what changed.

Law of this file: history gets a row when the tier or `drifted` changes, in the transaction that replaces the last
verdict, so that no change is missed and none is written twice.
"""

from __future__ import annotations

import msgspec

from monitor.contract import Verdict, decode_verdicts, encode_verdicts
from monitor.store.database import Database


class Verdicts:
    """The judgements made so far."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def last(self, route: str, arm: str) -> Verdict | None:
        """Return the last verdict of an arm; None where there is none that this version can read."""
        found = self._database.row("SELECT verdict FROM arms WHERE route = ? AND arm = ?", (route, arm))
        return _decoded(found[0]) if found else None

    def save(self, verdict: Verdict) -> bool:
        """Replace the last verdict of an arm; return whether that is a change worth a row of history."""
        key = (verdict.route, verdict.arm)
        body = encode_verdicts([verdict])
        with self._database.writing():
            before = self.last(*key)
            changed = before is None or (before.tier, before.drifted) != (verdict.tier, verdict.drifted)
            self._database.execute(
                "INSERT INTO arms (route, arm, seen_at, verdict) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (route, arm) DO UPDATE SET verdict = excluded.verdict",
                (*key, verdict.time, body),
            )
            if changed:
                self._database.execute(
                    "INSERT INTO verdicts (route, arm, time, tier, drifted, verdict) VALUES (?, ?, ?, ?, ?, ?)",
                    (*key, verdict.time, verdict.tier.value, verdict.drifted, body),
                )
        return changed

    def history(self, route: str, *, since: float = 0.0, limit: int = 100) -> list[Verdict]:
        """Return the verdicts of a route that were changes, the newest first."""
        query = "SELECT verdict FROM verdicts WHERE route = ? AND time >= ? ORDER BY id DESC LIMIT ?"
        rows = self._database.rows(query, (route, since, limit))
        return [verdict for (body,) in rows if (verdict := _decoded(body)) is not None]

    def forget(self, before: float) -> None:
        """Drop history before this epoch second."""
        self._database.execute("DELETE FROM verdicts WHERE time < ?", (before,))


def _decoded(body: bytes | None) -> Verdict | None:
    if body is None:
        return None
    try:
        return decode_verdicts(body)[0]
    except (msgspec.DecodeError, IndexError):
        return None  # of another version: as good as none
