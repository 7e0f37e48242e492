"""Intervals of shares hold what they say, at rare events, too."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.verdict.share_interval import difference, share_limits


@pytest.mark.parametrize(("before", "after"), [(0.02, 0.02), (0.02, 0.2), (0.3, 0.1), (0.5, 0.5)])
def test_coverage_is_as_stated(before: float, after: float) -> None:
    """Of intervals at 95 %, between 93 and 98.5 % hold the true difference of angles."""
    rng = np.random.default_rng(0)
    truth = 2 * (np.arcsin(np.sqrt(after)) - np.arcsin(np.sqrt(before)))
    held = 0
    for _ in range(1500):
        limits = [
            share_limits(int(rng.binomial(n, share)), n, 1.0) for n, share in ((300, after), (2000, before))
        ]
        low, high = difference(*limits)
        held += low <= truth <= high
    assert 0.93 <= held / 1500 <= 0.985


def test_nothing_seen_has_an_upper_limit() -> None:
    """A share of none may still be a few in a thousand, and a longer look says so more narrowly."""
    few, many = share_limits(0, 100, 1.0), share_limits(0, 10_000, 1.0)
    assert few.low == many.low == 0.0
    assert 0.0 < many.high < few.high < 0.4


def test_overdispersion_widens() -> None:
    """Exchanges that depend on each other say less."""
    alone, together = share_limits(30, 300, 1.0), share_limits(30, 300, 4.0)
    assert together.low < alone.low < alone.value < alone.high < together.high
