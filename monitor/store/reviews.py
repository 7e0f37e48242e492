"""Reviews: what waits for a person's judgement, and what people judged.

Law of this file: an exchange is offered once and never shown twice, however often it is read from the bus; of an hour no
more than its number is open. Texts are those of the bus, redacted there, and cut; whatever is older than the retention
goes. A resolved item that a later exchange of its hour displaces stays, but no longer counts as `sampled`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from monitor.contract import Verdict
from monitor.review.candidates import HOUR_S, Candidate, Offer
from monitor.review.estimate import Quality, Reviewed, bad_share
from monitor.review.sampling import times
from monitor.store.database import Database

TEXT_CHARS = 8000
OUTCOMES = ("ok", "bad", "unsure")


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be judged by a person: an `exchange`, or a `verdict` that is minor.

    `times`: how many exchanges it stands for, so far as its hour is known (None where it is not part of the sample).
    `state` is open or resolved; `by`, `outcome`, `note`, `resolved_at` say who resolved it, how and when (epoch s).
    """

    id: str
    kind: str
    state: str
    route: str
    arm: str
    time: float
    reasons: tuple[str, ...]
    exchange: str | None = None
    p_value: float | None = None
    reward: float | None = None
    weight: float | None = None
    times: float | None = None
    model: str = ""
    prompt: str = ""
    response: str | None = None
    outcome: str | None = None
    note: str = ""
    by: str = ""
    resolved_at: float | None = None


_COLUMNS = (
    "i.id, i.kind, i.state, i.route, i.arm, i.time, i.reasons, i.exchange, i.p_value, i.reward, i.weight, i.sampled,"
    " h.threshold, i.model, i.prompt, i.response, i.outcome, i.note, i.reviewer, i.resolved_at"
)
_FROM = "reviews i LEFT JOIN review_hours h ON h.route = i.route AND h.arm = i.arm AND h.hour = i.hour"


class Reviews:
    """The queue, and what came of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def listed(self, *, state: str = "open", route: str = "", limit: int = 50) -> list[Item]:
        """Return items: verdicts first, then the most unusual exchanges. `state` empty: whatever their state."""
        query = (
            f"SELECT {_COLUMNS} FROM {_FROM} WHERE (? = '' OR i.state = ?) AND (? = '' OR i.route = ?)"  # noqa: S608 - constants
            " ORDER BY i.kind DESC, i.p_value, i.time DESC LIMIT ?"
        )
        return [_item(row) for row in self._database.rows(query, (state, state, route, route, limit))]

    def get(self, item_id: str) -> Item:
        """Return one item. Raises KeyError."""
        found = self._database.row(f"SELECT {_COLUMNS} FROM {_FROM} WHERE i.id = ?", (item_id,))  # noqa: S608 - constants
        if found is None:
            raise KeyError(item_id)
        return _item(found)

    def resolve(self, item_id: str, outcome: str, *, note: str, by: str, now: float) -> Item:
        """Keep a person's judgement; a second one replaces the first. Raises KeyError."""
        changed = self._database.execute(
            "UPDATE reviews SET state = 'resolved', outcome = ?, note = ?, reviewer = ?, resolved_at = ? WHERE id = ?",
            (outcome, note, by, now, item_id),
        )
        if not changed:
            raise KeyError(item_id)
        return self.get(item_id)

    def add_verdict(self, verdict: Verdict) -> None:
        """Put a verdict into the queue."""
        item_id = "v" + _hash(f"{verdict.route} {verdict.arm} {verdict.time}")
        self._database.execute(
            "INSERT OR IGNORE INTO reviews (id, kind, state, route, arm, time, hour, sampled, reasons, model, prompt)"
            " VALUES (?, 'verdict', 'open', ?, ?, ?, ?, 0, ?, '', ?)",
            (
                item_id,
                verdict.route,
                verdict.arm,
                verdict.time,
                int(verdict.time // HOUR_S),
                _encode(verdict.reasons),
                verdict.headline,
            ),
        )

    def quality(self, route: str, arm: str, since: float = 0.0) -> Quality | None:
        """Estimate the share of bad exchanges from the resolved ones of the sample; `unsure` is left out."""
        query = (
            "SELECT i.weight, h.threshold, i.outcome FROM reviews i JOIN review_hours h"
            " ON h.route = i.route AND h.arm = i.arm AND h.hour = i.hour"
            " WHERE i.route = ? AND i.arm = ? AND i.time >= ? AND i.sampled = 1 AND i.outcome IN ('ok', 'bad')"
        )
        rows = self._database.rows(query, (route, arm, since))
        return bad_share([Reviewed(times(weight, t), outcome == "bad") for weight, t, outcome in rows])

    def arms(self) -> list[tuple[str, str]]:
        """Return every (route, arm) with a judged exchange."""
        rows = self._database.rows(
            "SELECT DISTINCT route, arm FROM reviews WHERE kind = 'exchange' AND outcome IS NOT NULL"
        )
        return [(route, arm) for route, arm in rows]

    def forget(self, before: float) -> None:
        """Drop whatever is about times before this epoch second."""
        self._database.execute("DELETE FROM reviews WHERE time < ?", (before,))
        self._database.execute("DELETE FROM review_hours WHERE hour < ?", (int(before // HOUR_S),))


def add_offers(database: Database, found: Sequence[Offer]) -> None:
    """Merge what was offered into the hours' samples, inside a transaction that the caller holds."""
    for offer in found:
        key = (offer.route, offer.arm, offer.hour)
        database.execute(
            "INSERT INTO review_hours VALUES (?, ?, ?, ?, ?) ON CONFLICT (route, arm, hour) DO UPDATE SET"
            " seen = seen + excluded.seen, threshold = max(threshold, excluded.threshold)",
            (*key, offer.seen, offer.threshold),
        )
        threshold = _threshold(database, key)
        better = [one for one in offer.candidates if one.drawn.priority > threshold]
        for candidate in better:
            _insert(database, key, candidate)
        if better or offer.threshold >= threshold:
            _evict(database, key, offer.per_hour)


def _insert(database: Database, key: tuple[str, str, int], candidate: Candidate) -> None:
    e, (weight, priority) = candidate.exchange, candidate.drawn
    database.execute(
        "INSERT OR IGNORE INTO reviews (id, kind, state, route, arm, time, hour, sampled, exchange, weight, priority,"
        " p_value, reward, reasons, model, prompt, response)"
        " VALUES (?, 'exchange', 'open', ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            "e" + _hash(f"{e.route} {e.arm} {e.id}"),
            e.route,
            e.arm,
            e.time,
            key[2],
            e.id,
            weight,
            priority,
            candidate.p_value,
            candidate.reward,
            _encode(candidate.reasons),
            e.model,
            e.prompt[:TEXT_CHARS],
            None if e.response is None else e.response[:TEXT_CHARS],
        ),
    )


def _evict(database: Database, key: tuple[str, str, int], per_hour: int) -> None:
    """Take those beyond the hour's number out of the sample; the largest of them raises the threshold."""
    of_hour = "route = ? AND arm = ? AND hour = ? AND kind = 'exchange' AND sampled = 1"
    rows = database.rows(
        f"SELECT id, priority, state FROM reviews WHERE {of_hour} ORDER BY priority DESC, id",  # noqa: S608 - a constant
        key,
    )
    threshold = _threshold(database, key)
    kept = [row for row in rows if row[1] > threshold][:per_hour]
    out = [row for row in rows if row not in kept]
    for item_id, priority, state in out:
        threshold = max(threshold, priority)
        if state == "open":
            database.execute("DELETE FROM reviews WHERE id = ?", (item_id,))
        else:
            database.execute("UPDATE reviews SET sampled = 0 WHERE id = ?", (item_id,))
    if out:
        database.execute(
            "UPDATE review_hours SET threshold = ? WHERE route = ? AND arm = ? AND hour = ?",
            (threshold, *key),
        )


def _threshold(database: Database, key: tuple[str, str, int]) -> float:
    found = database.row("SELECT threshold FROM review_hours WHERE route = ? AND arm = ? AND hour = ?", key)
    return float(found[0]) if found else 0.0


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=5).hexdigest()


def _encode(reasons: Sequence[str]) -> str:
    return msgspec.json.encode(reasons).decode()


def _item(row: tuple[Any, ...]) -> Item:
    names = [field.name for field in msgspec.structs.fields(Item)]
    values = [*row[:11], None, *row[13:]]
    item = dict(zip(names, values, strict=True))
    weight, sampled, threshold = row[10:13]
    item["times"] = times(weight, threshold or 0.0) if sampled else None
    item["reasons"] = tuple(msgspec.json.decode(row[6], type=list[str]))
    return Item(**item)
