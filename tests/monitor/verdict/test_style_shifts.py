"""Shifts of style come with two errors: without change, and with the window's own spread."""

from __future__ import annotations

from monitor.sketch.bucket import Bucket
from monitor.text.style import RESPONSE_FEATURES
from monitor.verdict.style_shifts import style_shifts
from tests.monitor.baseline.test_fit import learn
from tests.monitor.synthetic import World


def test_nothing_to_compare() -> None:
    """A window without answers has no style."""
    baseline = learn(World().make(300, seed=1))
    assert style_shifts(baseline, Bucket.empty(baseline.id, baseline.shape)) is None


def test_a_window_as_the_baseline_has_no_shift() -> None:
    """The baseline beside itself: zero shifts, and both errors alike."""
    baseline = learn(World().make(300, seed=1))
    found = style_shifts(baseline, baseline.reference)
    assert found is not None
    assert len(found.shift) == len(RESPONSE_FEATURES)
    assert abs(found.shift).max() < 1e-9
    varies = found.error > 1e-6
    assert (abs(found.own_error - found.error)[varies] <= found.error[varies]).all()
