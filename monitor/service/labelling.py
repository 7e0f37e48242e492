"""Judging those who label, beside the exchanges: fold what has come, put each route's verdict on its control arm.

Law of this file: feedback is folded once the reward of its exchange is known or a minute has passed. A verdict compares
what came since the change with all before; without a change, the last week with what was before it. A gain that the
labels contradict is not called one.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from monitor.contract import Labels, Verdict
from monitor.contract.config import Detection
from monitor.labels.contradiction import borne_out
from monitor.labels.panel import log_alarm
from monitor.labels.verdict import FEWEST, found_live, label_verdict
from monitor.service.folding import CONTROL
from monitor.store import Store

_WINDOW_S = 7 * 86400.0
# A verdict is made anew when labels have come, and at the latest after this.
_EVERY_S = 60.0


class Labelling:
    """Verdicts on labels; one of several workers judges at a time."""

    def __init__(self, store: Store, settings: Detection) -> None:
        self._store = store
        self._settings = settings
        self._alarm = log_alarm(settings.label_false_alarms_per_month)
        self._judged_at: dict[str, float] = {}

    def told(self, verdicts: Sequence[Verdict], now: float) -> list[Verdict]:
        """Return the verdicts with those on their routes' labels, where there are labels."""
        self._store.feedback.match()
        moved = {verdict.route: verdict.drifted for verdict in verdicts if verdict.arm == CONTROL}
        found = {
            route: self._of(route, now, texts_moved=moved.get(route, False))
            for route in self._store.labels.routes()
        }
        return [
            borne_out(msgspec.structs.replace(verdict, labels=found.get(verdict.route)))
            if verdict.arm == CONTROL
            else verdict
            for verdict in verdicts
        ]

    def _of(self, route: str, now: float, *, texts_moved: bool) -> Labels:
        folded = self._store.labels.fold(route, self._alarm, now)
        last = self._store.labels.verdict(route)
        if last is not None and not folded and now - self._judged_at.get(route, 0.0) < _EVERY_S:
            return last
        verdict = self._judge(route, now, texts_moved=texts_moved)
        self._store.labels.save(route, verdict, now)
        self._judged_at[route] = now
        return verdict

    def _judge(self, route: str, now: float, *, texts_moved: bool) -> Labels:
        labels = self._store.labels
        panel = labels.panel(route)
        since = labels.boundary(route, now, _WINDOW_S, FEWEST)
        before, after = labels.sides(route, since if panel.since is None else panel.since)
        found = found_live(panel, self._alarm, [*before.events, *after.events])
        if found.since is not None and found.since != panel.since:
            before, after = labels.sides(route, found.since)
        return label_verdict(
            panel.scheme,
            before,
            after,
            found,
            thresholds=self._settings.thresholds,
            texts_moved=texts_moved,
        )
