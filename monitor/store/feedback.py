"""Feedback: what people said of exchanges, from its arrival until its route is known.

Law of this file: a judgement stands as first given; the same annotator's second one of the same exchange changes
nothing and is counted. Feedback may come before its exchange is scored, or of one that never will be: it is parked until
its route is known, found by the exchange, and meanwhile counted as unmatched. Rewards are kept of the newest exchanges
only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from monitor.contract import Feedback
from monitor.store.database import Database

PARKED, READY, FOLDED = 0, 1, 2
# Exchanges whose rewards are kept.
REWARDS_KEPT = 200_000


class Reward(NamedTuple):
    """An exchange that was scored; `reward` is None where the scorer gives none."""

    exchange: str
    route: str
    reward: float | None


class Taken(NamedTuple):
    """What became of some feedback: new, said before, and new but of no exchange that is known."""

    accepted: int
    repeated: int
    unmatched: int


class FeedbackRows:
    """Feedback as it comes in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, feedback: Sequence[Feedback], now: float, route: str = "") -> Taken:
        """Keep feedback; `route` is whose it is where neither it nor its exchange says so, empty: wait for that."""
        accepted: Counter[str] = Counter()
        repeated: Counter[str] = Counter()
        unmatched = 0
        with self._database.writing():
            for given in feedback:
                known = self._reward(given.exchange)
                name = given.route or (known.route if known else route)
                if self._insert(given, name, known, now):
                    accepted[name] += 1
                    unmatched += known is None
                else:
                    repeated[name] += 1
            for what, counts in (("accepted", accepted), ("repeated", repeated)):
                for name, count in counts.items():
                    self._count(name, what, count)
        return Taken(accepted.total(), repeated.total(), unmatched)

    def _insert(self, given: Feedback, route: str, known: Reward | None, now: float) -> bool:
        reward = given.reward if given.reward is not None else (known.reward if known else None)
        row = (
            given.exchange,
            given.annotator,
            route,
            given.item or given.exchange,
            given.label,
            given.gold,
            given.time or now,
            now,
            reward,
            READY if route else PARKED,
        )
        statement = (
            "INSERT OR IGNORE INTO feedback (exchange, annotator, route, item, label, gold, time, received, reward,"
            " state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        return self._database.execute(statement, row) == 1

    def match(self) -> int:
        """Give parked feedback the route and reward of its exchange, where that is scored by now; return how many."""
        with self._database.writing():
            query = (
                "SELECT feedback.id, rewards.route, rewards.reward FROM feedback"
                " JOIN rewards ON rewards.exchange = feedback.exchange WHERE feedback.state = ?"
            )
            rows = self._database.rows(query, (PARKED,))
            self._database.execute_many(
                "UPDATE feedback SET route = ?, reward = coalesce(reward, ?), state = ? WHERE id = ?",
                [(route, reward, READY, row_id) for row_id, route, reward in rows],
            )
            self._database.execute(
                "UPDATE feedback SET reward = (SELECT reward FROM rewards WHERE rewards.exchange = feedback.exchange)"
                " WHERE state = ? AND reward IS NULL",
                (READY,),
            )
        return len(rows)

    def parked(self) -> int:
        """Count feedback whose route is not known."""
        found = self._database.row("SELECT count(*) FROM feedback WHERE state = ?", (PARKED,))
        return int(found[0]) if found else 0

    def counters(self) -> dict[tuple[str, str], int]:
        """Return (route, `accepted` or `repeated`) -> feedback; the route is empty while it is not known."""
        rows = self._database.rows("SELECT route, name, value FROM label_counters ORDER BY route, name")
        return {(route, name): value for route, name, value in rows}

    def forget(self, before: float) -> None:
        """Drop feedback that came before this epoch second, and the rewards of all but the newest exchanges."""
        self._database.execute("DELETE FROM feedback WHERE received < ?", (before,))
        self._database.execute(
            "DELETE FROM rewards WHERE id <= (SELECT max(id) FROM rewards) - ?", (REWARDS_KEPT,)
        )

    def _reward(self, exchange: str) -> Reward | None:
        found = self._database.row(
            "SELECT exchange, route, reward FROM rewards WHERE exchange = ?", (exchange,)
        )
        return Reward(*found) if found else None

    def _count(self, route: str, name: str, count: int) -> None:
        self._database.execute(
            "INSERT INTO label_counters VALUES (?, ?, ?)"
            " ON CONFLICT (route, name) DO UPDATE SET value = value + excluded.value",
            (route, name, count),
        )


def add_rewards(database: Database, rewards: Sequence[Reward]) -> None:
    """Remember the rewards of exchanges, inside a transaction that the caller holds."""
    database.execute_many("INSERT OR IGNORE INTO rewards (exchange, route, reward) VALUES (?, ?, ?)", rewards)
