"""Shifts of style come with an error without change, and an interval with the window's own spread."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monitor.baseline import Baseline
from monitor.sketch.bucket import Bucket
from monitor.sketch.layout import fixed
from monitor.text.style import RESPONSE_FEATURES
from monitor.verdict.style_shifts import style_shifts
from tests.monitor.baseline.test_fit import learn
from tests.monitor.synthetic import World


def test_nothing_to_compare() -> None:
    """A window without answers has no style."""
    baseline = learn(World().make(300, seed=1))
    assert style_shifts(baseline, Bucket.empty(baseline.id, baseline.shape)) is None


def test_a_window_as_the_baseline_has_no_shift() -> None:
    """The baseline beside itself: no shifts, within intervals as wide as chance makes them."""
    baseline = learn(World().make(300, seed=1))
    found = style_shifts(baseline, baseline.reference)
    assert found is not None
    assert len(found.shift) == len(RESPONSE_FEATURES)
    assert abs(found.shift).max() < 1e-9
    n = baseline.reference.count("answers")
    mean, square = (baseline.reference.read(name) / n for name in ("response_style", "response_style_sq"))
    varies = square - mean**2 > 1e-6
    width = (found.high - found.low)[varies] / found.error[varies]
    assert varies.sum() > 5
    assert ((width > 3.8) & (width < 4.0)).all()
    assert (found.low[varies] < 0.0).all()
    assert (found.high[varies] > 0.0).all()


def test_what_was_never_seen_may_be_there() -> None:
    """A habit that neither side showed is not known to be none: a longer look says so more narrowly."""
    learnt, rng = learn(World(rate=0).make(300, seed=1)), np.random.default_rng(0)
    found = [
        style_shifts(replace(learnt, reference=_bucket(learnt, rng, 2000, 0.0, 6.0)), window)
        for window in (_bucket(learnt, rng, n, 0.0, 6.0) for n in (100, 10_000))
    ]
    few, many = (part.high[RESPONSE_FEATURES.index("unfinished")] for part in found if part is not None)
    assert 0.0 < many < few < 0.25


@pytest.mark.parametrize(("before", "after"), [(0.02, 0.02), (0.02, 0.05), (0.1, 0.1), (0.1, 0.3)])
def test_intervals_hold_the_true_shift(before: float, after: float) -> None:
    """Over baselines and windows 95 % hold it: of a share as of a length, and about as often on either side."""
    rng = np.random.default_rng([int(100 * before), int(100 * after)])
    learnt = learn(World(rate=0).make(300, seed=1))
    rows = [RESPONSE_FEATURES.index(name) for name in ("unfinished", "length")]
    truth = np.array([(after - before) / np.sqrt(before * (1 - before)), 0.2])
    missed = np.zeros((2, 2))
    for _ in range(1000):
        sides = _bucket(learnt, rng, 2000, before, 6.0), _bucket(learnt, rng, 300, after, 6.2)
        found = style_shifts(replace(learnt, reference=sides[0]), sides[1])
        assert found is not None
        missed += [found.low[rows] > truth, found.high[rows] < truth]
    held = 1000 - missed.sum(axis=0)
    # The 0.01 % points of binomial(1000, .95); a share has few values, and its interval rather more than less.
    assert (held >= 922).all()
    assert (held <= 978).all()
    assert missed.max() <= 50


def _bucket(baseline: Baseline, rng: np.random.Generator, n: int, share: float, length: float) -> Bucket:
    """Return a bucket of n answers, a share of them unfinished, of lengths about a mean; nothing else is in it."""
    bucket = Bucket.empty(baseline.id, baseline.shape)
    drawn = np.zeros((n, len(RESPONSE_FEATURES)))
    drawn[:, RESPONSE_FEATURES.index("unfinished")] = rng.random(n) < share
    drawn[:, RESPONSE_FEATURES.index("length")] = length + rng.standard_normal(n)
    bucket.layout.add(bucket.vector, "answers", n)
    bucket.layout.add(bucket.vector, "response_style", fixed(drawn).sum(axis=0))
    bucket.layout.add(bucket.vector, "response_style_sq", fixed(drawn**2).sum(axis=0))
    return bucket
