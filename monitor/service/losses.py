"""Losses: exchanges that the bus's retention removed before anybody scored them, within the window that is judged.

Law of this file: pure but for what it has been told. A window that misses much of the traffic says nothing about it,
because what is lost under load need not look like what is left; one that misses little says so.
"""

from __future__ import annotations

from collections import deque

import msgspec

from monitor.contract import Verdict
from monitor.judge import blind_verdict

# Share of a window's exchanges that may be missing before it is not judged any more.
TOLERATED = 0.1


class Losses:
    """Remembers when exchanges were lost, for one window's length."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._seen: int | None = None
        self._events: deque[tuple[float, int]] = deque()

    def note(self, expired: int, now: float) -> int:
        """Take in the bus's counter; return the exchanges lost within the last window (since the first call)."""
        if self._seen is not None and expired > self._seen:
            self._events.append((now, expired - self._seen))
        self._seen = expired
        while self._events and self._events[0][0] < now - self._window_s:
            self._events.popleft()
        return sum(n for _, n in self._events)


def with_losses(verdict: Verdict, lost: int) -> Verdict:
    """Return the verdict as it stands when so many exchanges are missing from its window."""
    n = verdict.n.get("window", 0)
    if not lost or verdict.progress is not None:
        return verdict
    said = f"{lost} exchanges of this window were lost on the bus before they were scored"
    if lost > TOLERATED * (lost + n):
        key = (verdict.route, verdict.arm)
        return blind_verdict(*key, why=said, now=verdict.time, n=verdict.n, baseline=verdict.baseline)
    return msgspec.structs.replace(verdict, caveats=(*verdict.caveats, said))
