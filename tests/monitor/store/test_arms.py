"""Windows and evidence of the arms."""

from __future__ import annotations

import time
from functools import reduce

import numpy as np
import pytest

from monitor.sketch.bucket import Bucket, BucketKey
from monitor.sketch.fold import fold
from monitor.store.arms import Step, runs, see
from monitor.store.ledger import add_deltas

KEY = ("default", "control")


def put(store, deltas, now=0.0):
    """Write sketches as a commit does."""
    with store.database.writing():
        for key in deltas:
            see(store.database, key.route, key.arm, now)
        add_deltas(store.database, deltas)


@pytest.fixture
def minutes(baseline, traffic, scored):
    """Give one sketch for each of 200 minutes from minute 130 on, and the exchanges a minute."""
    one = next(iter(fold(baseline, scored(traffic(2))).values()))
    return {BucketKey(*KEY, minute): one for minute in range(130, 330)}


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        ((0, 1000), 200),
        ((130, 131), 1),
        ((135, 140), 5),
        ((150, 185), 35),
        ((170, 300), 130),
        ((179, 181), 2),
        ((330, 400), 0),
    ],
)
def test_a_window_is_the_merge_of_its_minutes(store, minutes, baseline, period, expected):
    """Hours and minutes together give exactly the minutes asked for, wherever the hours begin."""
    put(store, minutes)
    window = store.arms.window(KEY, baseline.id, *period)
    assert (0 if window is None else window.n) == 2 * expected
    assert store.arms.window(("default", "candidate"), baseline.id, *period) is None
    assert store.arms.window(KEY, "another baseline", *period) is None


@pytest.mark.parametrize(("since", "until"), [(0, 1000), (150, 290), (140, 141), (0, 130)])
def test_minutes_are_read_backwards(store, minutes, baseline, since, until):
    """Each minute that holds anything, the newest first, over as many pages as there are; those of the baseline alone."""
    put(store, {key: bucket for key, bucket in minutes.items() if key.minute % 3})
    found = list(store.arms.back(KEY, baseline.id, since, until))
    wanted = [m for m in range(329, 129, -1) if m % 3 and since <= m < until]
    assert [minute for minute, _ in found] == wanted
    assert all(bucket.n == 2 for _, bucket in found)
    assert list(store.arms.back(KEY, "other", since, until)) == []


def test_commits_add_up(store, baseline, traffic, scored):
    """What many commits bring to one minute is their merge, sums and samples."""
    rows = scored(traffic(60, time=600.0))
    parts = [fold(baseline, rows.take(range(start, min(60, start + 7)))) for start in range(0, 60, 7)]
    for part in parts:
        put(store, part)
    whole = reduce(Bucket.merge, [bucket for part in parts for bucket in part.values()])
    window = store.arms.window(KEY, baseline.id, 0, 100)
    assert window is not None
    np.testing.assert_array_equal(window.vector, whole.vector)
    assert window.sample == whole.sample


def test_evidence_sees_everything_once(store, minutes, baseline):
    """A step takes what was folded since the last one; with nothing new the state stays and time adds up."""
    seen: list[Step] = []

    def advance(step: Step) -> bytes:
        seen.append(step)
        return b"%d" % len(seen)

    put(store, dict(list(minutes.items())[:3]), now=60.0)
    assert store.arms.step(KEY, baseline.id, 120.0, advance) == b"1"
    assert store.arms.step(KEY, baseline.id, 180.0, advance) == b"1"
    put(store, dict(list(minutes.items())[3:5]), now=200.0)
    assert store.arms.step(KEY, baseline.id, 240.0, advance) == b"2"
    assert [(step.evidence, step.delta.n if step.delta else 0, step.minutes) for step in seen] == [
        (None, 6, 1.0),
        (b"1", 4, 2.0),
    ]


def test_a_failing_step_loses_nothing(store, minutes, baseline):
    """What evidence was about to see is still there when the step fails."""
    put(store, dict(list(minutes.items())[:3]))

    def fail(step: Step) -> bytes:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.arms.step(KEY, baseline.id, 1.0, fail)
    assert store.arms.step(KEY, baseline.id, 1.0, lambda step: b"%d" % step.delta.n) == b"6"


def test_another_baseline_starts_evidence_anew(store, minutes, baseline):
    """Evidence against one baseline never takes in sketches of another."""
    put(store, dict(list(minutes.items())[:1]))
    store.arms.step(KEY, baseline.id, 0.0, lambda _: b"old")
    assert store.arms.step(KEY, "new", 0.0, lambda step: b"%r" % step.evidence) == b"None"
    one = next(iter(minutes.values()))
    put(store, {BucketKey(*KEY, 130): Bucket("new", one.shape, one.vector)})
    step = store.arms.step(KEY, "new", 0.0, lambda step: b"%r %d" % (step.evidence, step.delta.n))
    assert step == b"None 2"


def test_old_sketches_are_forgotten(store, minutes, baseline):
    """Retention drops whole spans before a moment, and arms nobody has used since."""
    put(store, minutes, now=200 * 60.0)
    store.arms.forget(300 * 60.0)
    window = store.arms.window(KEY, baseline.id, 300, 330)
    assert window is not None
    assert window.n == 60
    store.arms.forget((300 + 1440 * 2) * 60.0)
    assert store.arms.window(KEY, baseline.id, 0, 10**6) is None
    assert store.arms.seen() == []


def test_a_long_window_is_quick(store, minutes, baseline):
    """A day of minutes is read in a few dozen rows."""
    one = next(iter(minutes.values()))
    put(store, {BucketKey(*KEY, minute): one for minute in range(1440)})
    begun = time.process_time()
    window = store.arms.window(KEY, baseline.id, 10, 1430)
    assert window is not None
    assert window.n == 2 * 1420
    assert time.process_time() - begun < 1.0


@pytest.mark.parametrize(
    ("since", "until"), [(0, 1), (59, 61), (61, 3001), (1439, 1440 * 3 + 61), (7, 7), (100, 50_400)]
)
def test_runs_cover_each_minute_once(since, until):
    """Any period is covered exactly, by few rows, each aligned to its span."""
    covered = [minute for run in runs(since, until) for minute in range(run.start, run.end)]
    assert covered == list(range(since, until))
    assert all(run.start % run.span == 0 == run.end % run.span for run in runs(since, until))
    assert sum((run.end - run.start) // run.span for run in runs(since, until)) <= 2 * (59 + 23) + 35
