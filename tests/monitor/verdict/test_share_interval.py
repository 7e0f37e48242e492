"""Intervals of shares hold what they say, at rare events, too."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.verdict.share_interval import (
    MeanLimits,
    Z,
    difference,
    least_skewness,
    mean_limits,
    non_negative,
    share_limits,
    wilson,
)


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


@pytest.mark.parametrize(("share", "size"), [(0.02, 0.0), (0.05, 0.5), (0.3, 0.5), (1.0, 0.2)])
@pytest.mark.parametrize("change", [1.0, 2.0])
def test_means_of_rare_things(share: float, size: float, change: float) -> None:
    """A difference of means is held whether all have some of it or hardly any, and missed on either side."""
    rng = np.random.default_rng([int(100 * share), int(10 * size), int(change)])
    after = min(1.0, change * share)
    low, high = difference(*(_drawn(rng, at, size, n) for at, n in ((after, 300), (share, 3000))))
    truth = (after - share) * np.exp(size**2 / 2.0)
    below, above = (low > truth).mean(), (high < truth).mean()
    assert 0.93 <= 1.0 - below - above <= 0.98
    assert max(below, above) <= 0.055


def _drawn(rng: np.random.Generator, share: float, size: float, n: int) -> MeanLimits:
    """Return the limits of 2,000 means of n quantities, log-normal where they are not nothing."""
    drawn = np.exp(size * rng.standard_normal((2000, n))) * (rng.random((2000, n)) < share)
    of, unit = np.full(2000, float(n)), np.full(2000, np.exp(1.5 * size**2))
    return mean_limits(drawn.mean(axis=1), (drawn**2).mean(axis=1), of, unit)


def test_a_mean_of_nothings_and_ones_is_a_share() -> None:
    """Wilson's interval is the special case, and has his limits: 1 of 10 is 1.8 to 40.4 %."""
    low, high = wilson(np.float64(0.1), np.float64(10))
    assert (low, high) == pytest.approx((0.0179, 0.4042), abs=1e-4)
    share, of = np.array([0.1]), np.array([10.0])
    assert [float(part[0]) for part in mean_limits(share, share, of, share)[1:]] == pytest.approx([low, high])


def test_what_was_never_seen_may_be_there() -> None:
    """A mean of nothing has an upper limit in units of what one would be; without any it is nothing."""
    none, of = np.zeros(2), np.full(2, 100.0)
    limits = mean_limits(none, none, of, np.array([2.0, 0.0]))
    assert limits.low.tolist() == pytest.approx([0.0, 0.0], abs=1e-12)
    assert limits.high.tolist() == pytest.approx([2.0 * Z**2 / (100 + Z**2), 0.0])


@pytest.mark.parametrize("mean", [0.0, 0.3, 1.0, 1.9, 2.5, 4.0])
def test_what_cannot_be_negative(mean: float) -> None:
    """Means from none on are held by 95 % of their intervals; these have a length always."""
    drawn = mean + np.random.default_rng(0).standard_normal(4000)
    limits = np.array([non_negative(float(x)) for x in drawn])
    assert (limits[:, 0] < limits[:, 1]).all()
    assert 0.938 <= ((limits[:, 0] <= mean) & (mean <= limits[:, 1])).mean() <= 0.962


def test_the_limits_of_feldman_and_cousins() -> None:
    """Those of table X of the paper, at 95 %."""
    table = {-3.0: (0.0, 0.42), -1.0: (0.0, 1.10), 0.0: (0.0, 1.96), 1.0: (0.0, 2.96), 2.5: (0.76, 4.46)}
    for x, limits in table.items():
        assert non_negative(x) == pytest.approx(limits, abs=0.01)


def test_skewness_of_rare_things() -> None:
    """Of a share it is that of a share; of what most have some of, nothing is claimed, nor of nothing."""
    mean, square = np.array([0.1, 6.0, 0.0]), np.array([0.1, 37.0, 0.0])
    assert least_skewness(mean, square).tolist() == pytest.approx([0.8 / 0.3, 0.0, 0.0])
