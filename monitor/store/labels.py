"""Labels: evidence about those who label, and what it is made from.

Law of this file: folding a judgement is one transaction with everything that follows from it: its events, the
coincidences of its item, the panel's evidence and its mark as folded. So it is folded once or not at all, and rows that
are dropped with age take nothing out of the evidence.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from monitor.contract import Labels
from monitor.contract.messages import short_hash
from monitor.labels.coincidence import Coincidence
from monitor.labels.judgement import LEARN_FROM, Earlier, Event, Judgement, Scheme, events_of
from monitor.labels.measures import Side
from monitor.labels.panel import Fold, Panel, paired_by_reward
from monitor.store.database import Database
from monitor.store.feedback import FOLDED, READY

_BLOCKS = 20
_DAY_S = 86400.0
# Seconds that feedback waits for the reward of its exchange.
_SETTLED_S = 60.0
# Judgements folded in one transaction, events read for one side of a verdict.
_AT_ONCE = 500
_MOST_EVENTS = 20_000


class Row(NamedTuple):
    """A judgement in the file."""

    id: int
    judgement: Judgement


class LabelRows:
    """What labels tell, by route."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def routes(self) -> list[str]:
        """Return the routes that have labels, folded or to be folded."""
        query = "SELECT route FROM label_panels UNION SELECT DISTINCT route FROM feedback WHERE state = ? ORDER BY 1"
        return [route for (route,) in self._database.rows(query, (READY,))]

    def panel(self, route: str) -> Panel:
        """Return the evidence of a route; empty where there is none that this version can read."""
        found = self._database.row("SELECT state FROM label_panels WHERE route = ?", (route,))
        if found is None or found[0] is None:
            return Panel()
        try:
            return Panel.from_bytes(found[0])
        except ValueError:
            return Panel()

    def fold(self, route: str, alarm: float, now: float) -> int:
        """Fold what has come of a route, the oldest first; return how many judgements.

        What has no reward yet waits a minute for one.
        """
        total = 0
        while done := self._fold_some(route, alarm, now - _SETTLED_S):
            total += done
        return total

    def _fold_some(self, route: str, alarm: float, settled: float) -> int:
        with self._database.writing():
            rows = self._ready(route, settled)
            panel = self.panel(route)
            if panel.scheme is None:
                if len(rows) < LEARN_FROM:
                    return 0
                panel = msgspec.structs.replace(panel, scheme=Scheme.learn([r.judgement.label for r in rows]))
            fold = Fold(panel, alarm)
            for row in rows:
                self._fold_one(route, row, panel.scheme or Scheme(), fold)
            if rows:
                self._save_panel(route, fold.panel())
        return len(rows)

    def _ready(self, route: str, settled: float) -> list[Row]:
        query = (
            "SELECT id, item, annotator, label, gold, time, reward FROM feedback WHERE state = ? AND route = ?"
            " AND (reward IS NOT NULL OR received <= ?) ORDER BY time, id LIMIT ?"
        )
        return [
            Row(row[0], Judgement(*row[1:]))
            for row in self._database.rows(query, (READY, route, settled, _AT_ONCE))
        ]

    def _fold_one(self, route: str, row: Row, scheme: Scheme, fold: Fold) -> None:
        new = row.judgement
        before, first = self._earlier(route, new.item)
        events = events_of(scheme, new, before)
        fold.waiting, pair = paired_by_reward(fold.waiting, new)
        for event in (*events, *pair):
            fold.take(event)
        self._database.execute_many(
            "INSERT INTO label_events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(route, *event) for event in (*events, *pair)],
        )
        labels = [earlier.label for earlier in before]
        change = Coincidence.of_item([*labels, new.label]).without(Coincidence.of_item(labels))
        self._add_coincidences(route, new.item, min(first, new.time), change)
        self._database.execute("UPDATE feedback SET state = ? WHERE id = ?", (FOLDED, row.id))

    def _earlier(self, route: str, item: str) -> tuple[list[Earlier], float]:
        """Return the labels that an item had before, and when it had the first."""
        query = "SELECT annotator, label, time FROM feedback WHERE route = ? AND item = ? AND state = ? ORDER BY time, id"
        rows = self._database.rows(query, (route, item, FOLDED))
        return [Earlier(who, label) for who, label, _ in rows], min(
            (at for *_, at in rows), default=float("inf")
        )

    def _add_coincidences(self, route: str, item: str, first: float, change: Coincidence) -> None:
        if not change.cells:
            return
        key = (route, int(first // _DAY_S), int(short_hash(item), 16) % _BLOCKS)
        query = "SELECT state FROM label_blocks WHERE route = ? AND day = ? AND block = ?"
        found = self._database.row(query, key)
        state = change if found is None else Coincidence.from_bytes(found[0]).merge(change)
        self._database.execute(
            "INSERT OR REPLACE INTO label_blocks VALUES (?, ?, ?, ?)", (*key, state.to_bytes())
        )

    def _save_panel(self, route: str, panel: Panel) -> None:
        self._database.execute(
            "INSERT INTO label_panels (route, state) VALUES (?, ?)"
            " ON CONFLICT (route) DO UPDATE SET state = excluded.state",
            (route, panel.to_bytes()),
        )

    def restart(self, route: str) -> None:
        """Let go of the evidence of a route: what comes from now on is what is usual. Raises KeyError."""
        if not self._database.execute("UPDATE label_panels SET state = NULL WHERE route = ?", (route,)):
            raise KeyError(route)

    def boundary(self, route: str, now: float, window_s: float, fewest: int) -> float:
        """Return since when labels are `the window` (epoch s).

        That is the last `window_s`, or the newest quarter where the other leaves fewer than `fewest` before it.
        """
        query = (
            "SELECT count(*), coalesce(sum(time < ?), 0) FROM label_events WHERE route = ? AND kind = 'label'"
        )
        total, before = self._database.rows(query, (now - window_s, route))[0]
        if before >= fewest or not total:
            return now - window_s
        quarter = "SELECT time FROM label_events WHERE route = ? AND kind = 'label' ORDER BY time DESC LIMIT 1 OFFSET ?"
        found = self._database.row(quarter, (route, total // 4))
        return float(found[0]) if found else now

    def sides(self, route: str, since: float) -> tuple[Side, Side]:
        """Return the labels before and after a moment."""
        return self._side(route, "time <", since), self._side(route, "time >=", since)

    def _side(self, route: str, where: str, since: float) -> Side:
        columns = "time, annotator, kind, stratum, label, wrong, partner, echo"
        query = f"SELECT {columns} FROM label_events WHERE route = ? AND {where} ? ORDER BY time DESC LIMIT ?"  # noqa: S608 - one of two constants
        rows = self._database.rows(query, (route, since, _MOST_EVENTS))
        events = [Event(*row)._replace(wrong=bool(row[5]), echo=bool(row[7])) for row in reversed(rows)]
        days = f"SELECT block, state FROM label_blocks WHERE route = ? AND {where.replace('time', 'day')} ?"  # noqa: S608 - the same
        blocks = [Coincidence()] * _BLOCKS
        for block, state in self._database.rows(days, (route, int(since // _DAY_S))):
            blocks[block] = blocks[block].merge(Coincidence.from_bytes(state))
        return Side(events, blocks)

    def verdict(self, route: str) -> Labels | None:
        """Return the last verdict on a route's labels; None where there is none that this version can read."""
        found = self._database.row("SELECT verdict FROM label_panels WHERE route = ?", (route,))
        return _decoded(found[0]) if found else None

    def verdicts(self) -> dict[str, Labels]:
        """Return route -> the last verdict on its labels."""
        found = {route: self.verdict(route) for route in self.routes()}
        return {route: verdict for route, verdict in found.items() if verdict is not None}

    def save(self, route: str, verdict: Labels, now: float) -> bool:
        """Replace the last verdict on a route's labels; return whether that is a change worth a row of history."""
        with self._database.writing():
            before = self.verdict(route)
            changed = before is None or _told(before) != _told(verdict)
            body = msgspec.msgpack.encode(verdict)
            self._database.execute(
                "INSERT INTO label_panels (route, verdict) VALUES (?, ?)"
                " ON CONFLICT (route) DO UPDATE SET verdict = excluded.verdict",
                (route, body),
            )
            if changed:
                self._database.execute(
                    "INSERT INTO label_verdicts (route, time, verdict) VALUES (?, ?, ?)", (route, now, body)
                )
        return changed

    def history(self, route: str, limit: int = 100) -> list[tuple[float, Labels]]:
        """Return the verdicts on a route's labels that were changes, with their times, the newest first."""
        query = "SELECT time, verdict FROM label_verdicts WHERE route = ? ORDER BY id DESC LIMIT ?"
        rows = self._database.rows(query, (route, limit))
        return [(at, verdict) for at, body in rows if (verdict := _decoded(body)) is not None]

    def forget(self, before: float) -> None:
        """Drop events, coincidences and history before this epoch second."""
        self._database.execute("DELETE FROM label_events WHERE time < ?", (before,))
        self._database.execute("DELETE FROM label_blocks WHERE day < ?", (before // _DAY_S,))
        self._database.execute("DELETE FROM label_verdicts WHERE time < ?", (before,))


def _told(verdict: Labels) -> tuple[str, bool, str]:
    return verdict.tier, verdict.drifted, verdict.cause


def _decoded(body: bytes | None) -> Labels | None:
    if body is None:
        return None
    try:
        return msgspec.msgpack.decode(body, type=Labels)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None  # of another version: as good as none
