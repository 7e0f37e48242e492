"""The window: the configured one, what came since a change, or as far back as sparse traffic asks for."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest

from monitor.contract.config import Detection
from monitor.evidence.findings import NOTHING, Findings
from monitor.offline.backtest import Recent
from monitor.sketch.bucket import Bucket
from monitor.verdict.window import LONGEST_MINUTES, MOST_MINUTES, SETTLED, choose, fewest, in_time, scored

SHAPE = (8, 8)
HOUR = Detection(window_hours=1.0)
UNTIL = 100_000


def bucket(n: int, prompts: int | None = None) -> Bucket:
    """Make a bucket of n exchanges, of which so many are scored."""
    empty = Bucket.empty("b", SHAPE)
    vector, fields = empty.vector.copy(), empty.layout.fields
    vector[fields["exchanges"].start], vector[fields["prompts"].start] = n, n if prompts is None else prompts
    return Bucket("b", SHAPE, vector)


class Minutes(dict):
    """All minutes there ever were."""

    def window(self, since, until):
        """Merge minutes."""
        return reduce(
            Bucket.merge, (b for m, b in self.items() if since <= m < until), Bucket.empty("b", SHAPE)
        )

    def back(self, since, until):
        """Yield minutes, the newest first."""
        return ((m, self[m]) for m in sorted(self, reverse=True) if since <= m < until)


def every(gap: int, n: int = 1, since: int = 0, until: int = UNTIL) -> Minutes:
    """Make n exchanges in each `gap`th minute, the last one in the last minute."""
    return Minutes({m: bucket(n) for m in range(until - 1, since, -gap)})


def drifted(minute: float) -> Findings:
    """Date a change."""
    return Findings(drifted=True, since=60.0 * minute)


def test_dense_traffic_is_judged_on_the_configured_window():
    """Ten a minute: an hour, and what came since a change where that is later and enough."""
    minutes = every(1, 10, UNTIL - 300)
    assert choose(minutes, NOTHING, HOUR, UNTIL).since == UNTIL - 60
    assert choose(minutes, drifted(UNTIL - 20.5), HOUR, UNTIL).since == UNTIL - 20
    assert choose(minutes, drifted(UNTIL - 200), HOUR, UNTIL).since == UNTIL - 60


def test_a_change_of_a_moment_ago_is_judged_with_what_came_before():
    """Too few since: from the minute in which it began, then the whole window."""
    minutes = every(1, 6, UNTIL - 300)
    assert choose(minutes, drifted(UNTIL - 1.5), HOUR, UNTIL).since == UNTIL - 2
    assert choose(minutes, drifted(UNTIL - 0.5), HOUR, UNTIL).since == UNTIL - 60


@pytest.mark.parametrize(("gap", "n"), [(10, 1), (5, 1), (360, 1), (3, 2)])
def test_sparse_traffic_reaches_back_to_the_change(gap, n):
    """While an alarm stands all that came since is judged, up to a settled number, however long ago."""
    minutes = every(gap, n)
    lately = choose(minutes, drifted(UNTIL - 40 * gap - 0.5), HOUR, UNTIL)
    assert (lately.bucket.n, lately.why) == (40 * n, "")
    assert lately.since >= UNTIL - 40 * gap
    long_ago = choose(minutes, drifted(10.0), HOUR, UNTIL)
    assert (long_ago.bucket.n, long_ago.why) == (SETTLED, "")


def test_a_change_of_too_few_exchanges_takes_some_from_before():
    """Seven since the change are fewer than ten: the newest ten are judged, within a week."""
    assert choose(every(60), drifted(UNTIL - 400), HOUR, UNTIL).bucket.n == 10
    few = choose(every(2000), drifted(UNTIL - 4000), HOUR, UNTIL)
    assert few.why == "6 scored exchanges in the last 7 days, 10 are needed to judge"


def test_sparse_traffic_without_a_change_reaches_back_a_week_at_most():
    """One in ten minutes is judged on eight hours, one in six hours not at all."""
    found = choose(every(10), NOTHING, HOUR, UNTIL)
    assert (found.bucket.n, found.why, found.since) == (50, "", UNTIL - 491)
    thin = choose(every(360), NOTHING, HOUR, UNTIL)
    assert thin.why == "28 scored exchanges in the last 7 days, 50 are needed to judge"
    assert thin.since >= UNTIL - LONGEST_MINUTES
    longer = Detection(window_hours=400.0)
    assert choose(every(360), NOTHING, longer, UNTIL).why == ""


def test_exchanges_that_have_ceased_are_not_ok():
    """Ten a minute that stopped an hour ago are unknown; two hours without any are nothing unusual at one in 10 min."""
    stopped = choose(every(1, 10, UNTIL - 600, UNTIL - 60), NOTHING, HOUR, UNTIL)
    assert stopped.why == "no exchange in the last 1 h, where one came every 2 min"
    assert choose(every(10, 1, 0, UNTIL - 100), NOTHING, HOUR, UNTIL).why == ""
    assert choose(every(10, 1, 0, UNTIL - 300), NOTHING, HOUR, UNTIL).why.startswith("no exchange in the")
    # A change that stands does not go away with the traffic.
    assert choose(every(1, 10, 0, UNTIL - 600), drifted(UNTIL - 700), HOUR, UNTIL).why == ""


def test_few_minutes_are_read():
    """Where nothing is scored, reading back ends somewhere."""
    unscored = Minutes({m: bucket(1, 0) for m in range(UNTIL - 5000, UNTIL)})
    found = choose(unscored, drifted(0.0), HOUR, UNTIL)
    assert found.why.startswith("0 scored exchanges in the last 7 days")
    assert found.since == UNTIL - 60 - MOST_MINUTES


def test_fewest():
    """Where the change is proven already, a few exchanges put a size to it."""
    assert fewest(NOTHING, Detection()) == 50
    assert fewest(drifted(1.0), Detection()) == 10
    assert fewest(drifted(1.0), Detection(min_window=3)) == 3
    assert scored(bucket(9, 4)) == 4


@pytest.mark.parametrize("seed", range(6))
def test_what_a_backtest_keeps_is_enough_and_little(baseline, seed):
    """Whatever the rate and whenever the change: the same window as from everything, and a bounded number of minutes."""
    rng = np.random.default_rng(seed)
    empty = Bucket.empty(baseline.id, baseline.shape)
    recent, kept = Recent(baseline, HOUR), Minutes()
    for minute in np.cumsum(rng.integers(1, (2, 8, 40, 400, 2000, 30)[seed], size=900)).tolist():
        vector, fields = empty.vector.copy(), empty.layout.fields
        vector[fields["exchanges"].start], vector[fields["prompts"].start] = 1, rng.integers(0, 2)
        kept[minute] = Bucket(empty.baseline, empty.shape, vector)
        recent.add(minute, kept[minute])
        assert len(recent) <= 60 + MOST_MINUTES
        if rng.random() < 0.03:
            found = drifted(minute * rng.random()) if rng.random() < 0.7 else NOTHING
            one, other = (choose(history, found, HOUR, minute + 1) for history in (recent, _of(kept, empty)))
            assert (one.since, one.why) == (other.since, other.why)
            assert one.bucket.vector.tolist() == other.bucket.vector.tolist()


def _of(kept, empty):
    class Whole(Minutes):
        def window(self, since, until):
            return reduce(Bucket.merge, (b for m, b in self.items() if since <= m < until), empty)

    return Whole(kept)


def test_lengths_in_words():
    """In the largest unit that suits."""
    assert [in_time(m) for m in (5, 60, 90, 2880, 10_080)] == ["5 min", "1 h", "1.5 h", "2 days", "7 days"]
