"""Which exchanges are judged: where the window begins, and whether it holds enough.

Law of this file: pure, and decided here alone, for the live monitor and for recorded streams. The window is the last
`window_hours`, or what came since the change where that is later, because older exchanges only dilute a change. Where
traffic is sparse it reaches further back, to as many exchanges as judging needs: while an alarm stands to where the change
began, however long ago, and otherwise for `LONGEST_MINUTES` at most, and only as long as the silence at its end is nothing
unusual, because a route whose exchanges have ceased to come is unknown and not `ok`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from math import ceil, floor
from typing import NamedTuple, Protocol

from monitor.contract.config import Detection
from monitor.evidence.findings import Findings
from monitor.sketch.bucket import Bucket

# How far a window reaches back without an alarm. A week has every hour that a route has; older ones say nothing of now.
LONGEST_MINUTES = 7 * 24 * 60
# Minutes with exchanges that are read beyond the window's length: a bound where hardly any of them is scored.
MOST_MINUTES = 400
# Scored exchanges that the size of a standing change is told by, where so many came since: of fewer the tier wavers.
SETTLED = 200
_FEWEST_DRIFTED = 10
# Silence, in average gaps between exchanges, after which they have ceased to come: by chance once in e^10 = 22,000.
_CEASED = 10.0


class History(Protocol):
    """The minutes of one (route, arm) under one baseline."""

    def window(self, since: int, until: int) -> Bucket:
        """Merge the epoch minutes [since, until)."""

    def back(self, since: int, until: int) -> Iterator[tuple[int, Bucket]]:
        """Yield those of the epoch minutes [since, until) that hold anything, the newest first."""


class Window(NamedTuple):
    """What came from the epoch minute `since` on, and why it cannot be judged ("": it can)."""

    since: int
    bucket: Bucket
    why: str = ""


def scored(bucket: Bucket) -> int:
    """Return how many exchanges tell anything: those with a scored prompt, or those that failed."""
    return max(bucket.count("prompts"), bucket.count("errors"))


def fewest(findings: Findings, settings: Detection) -> int:
    """Return how many exchanges a window needs: few where the evidence already stands, to put a size to it."""
    return min(settings.min_window, _FEWEST_DRIFTED) if findings.drifted else settings.min_window


def whole_minutes(settings: Detection) -> int:
    """Return the length of the configured window."""
    return max(1, round(settings.window_hours * 60.0))


def longest(settings: Detection) -> int:
    """Return how many minutes back a window reaches, at most, for what came before a change or without one."""
    return max(LONGEST_MINUTES, whole_minutes(settings))


def most_wanted(settings: Detection) -> int:
    """Return how many scored exchanges a window reaches back for, at most."""
    return max(SETTLED, settings.min_window)


def choose(history: History, findings: Findings, settings: Detection, until: int) -> Window:
    """Return the window that ends before the epoch minute `until`."""
    whole, oldest = until - whole_minutes(settings), until - longest(settings)
    needed = fewest(findings, settings)
    if findings.since is not None:
        found = _since_the_change(history, findings.since / 60.0, settings, until)
        if scored(found.bucket) >= needed:
            return found
        for start in (floor(findings.since / 60.0), whole):
            # It leaves too few to judge: some of what came before the change dilutes it, which is better than nothing.
            found = Window(max(whole, start), history.window(max(whole, start), until))
            if scored(found.bucket) >= needed:
                return found
    found = _reaching(history, Window(whole, history.window(whole, until)), oldest, needed)
    return found._replace(why=_why_not(history, found, findings, settings, until))


def _since_the_change(history: History, began: float, settings: Detection, until: int) -> Window:
    """Return what came since the change, as much of it as is wanted."""
    start = max(until - whole_minutes(settings), ceil(began))
    return _reaching(history, Window(start, history.window(start, until)), ceil(began), most_wanted(settings))


def _reaching(history: History, window: Window, oldest: int, wanted: int) -> Window:
    """Reach back from a window, not beyond `oldest`, until so many scored exchanges are in it."""
    since, bucket, why = window
    if since <= oldest or scored(bucket) >= wanted:
        return window
    for minute, earlier in islice(history.back(oldest, since), MOST_MINUTES):
        since, bucket = minute, earlier.merge(bucket)
        if scored(bucket) >= wanted:
            break
    return Window(since, bucket, why)


def _why_not(history: History, window: Window, findings: Findings, settings: Detection, until: int) -> str:
    n, needed = scored(window.bucket), fewest(findings, settings)
    if n < needed:
        within = in_time(longest(settings))
        return f"{n} scored exchanges in the last {within}, {needed} are needed to judge"
    whole = whole_minutes(settings)
    if findings.drifted or until - window.since <= whole:
        return ""
    gap = (until - window.since) / n
    silent = max(whole, ceil(_CEASED * gap))
    if scored(history.window(until - silent, until)):
        return ""
    return f"no exchange in the last {in_time(silent)}, where one came every {in_time(ceil(gap))}"


def in_time(minutes: int) -> str:
    """Write a number of minutes in the largest unit that suits it."""
    if minutes >= 48 * 60:
        return f"{minutes / 1440:.3g} days"
    return f"{minutes / 60:.3g} h" if minutes >= 60 else f"{minutes} min"
