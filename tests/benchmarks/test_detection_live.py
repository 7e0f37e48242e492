"""The benchmark's bookkeeping: what it hands to the detector is what the monitor would, and figures are exact."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.detection.figures import Delays, Rate, Share
from benchmarks.detection.live import Sight, learn
from benchmarks.detection.pools import Pool, as_pool
from benchmarks.detection.streams import DAY, Span, Stream, iid
from monitor.contract import Exchange
from monitor.offline.scoring import score_all
from monitor.scorer.fake import FakeScorer
from monitor.sketch.fold import fold_rows
from monitor.sketch.hours import counted_hours, hour_of_week


@pytest.fixture(scope="module")
def pool() -> Pool:
    """Return a pool of a hundred made-up exchanges."""
    exchanges = [
        Exchange(id=str(i), time=0.0, prompt=f"question {i} on {i % 7}", response=f"It is {i * i}. Or {i}.")
        for i in range(100)
    ]
    return as_pool(score_all(exchanges, FakeScorer()))


def test_minutes_are_the_monitors_own_buckets(pool: Pool):
    """Summing rows that were folded alone gives, to the bit, what folding them together does, at the stream's hours."""
    stream = iid(np.random.default_rng(0), pool.topic, Span(5.0, 9 * DAY, 0.1))
    history = Stream(9 * DAY - np.arange(200, 0, -1) * 6.0, np.arange(200) % 100)
    sight = Sight(learn(pool, history, "fake"), pool)
    encoded = sight.baseline.encode(pool.scored, pool.features)
    before = 0
    for minute, done, bucket in sight.minutes(stream):
        rows, times = stream.rows[before:done], stream.times[before:done]
        together = fold_rows(sight.baseline, pool.scored, pool.features, encoded, rows).vector
        hours = bucket.layout.fields["hours"]
        together[hours.start : hours.stop] = counted_hours(hour_of_week(times))
        assert np.array_equal(bucket.vector, together)
        assert bucket.n == len(rows) == int(bucket.read("hours").sum())
        assert (times // 60 == minute).all()
        before = done
    assert before == len(stream.rows)


def test_intervals_are_exact():
    """Poisson and binomial intervals are those of the tables, nothing found included."""
    assert Rate(0, 30.0).interval == pytest.approx((0.0, 3.689), abs=1e-3)
    assert Rate(20, 600.0).interval == pytest.approx((0.611, 1.544), abs=1e-3)
    assert Share(0, 20).interval == pytest.approx((0.0, 0.168), abs=1e-3)
    assert str(Share(0, 0)) == "-"


def test_a_miss_counts_as_the_horizon():
    """Quantiles are never better for what was not found."""
    delays = Delays.of([10.0, 20.0, float("inf"), float("inf")], 100.0)
    assert delays.missed == 2
    assert delays.write(0.5) == "> 100"
    assert delays.mean == pytest.approx(57.5)
    assert delays.power(20.0) == pytest.approx(0.5)
    assert delays.power(1000.0) == pytest.approx(0.5)
