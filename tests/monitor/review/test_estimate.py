"""The share of bad exchanges: right on average, with an interval that covers as often as it says."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.review.estimate import Reviewed, bad_share
from monitor.review.sampling import CEILING, FLOOR, keep, times


def test_nothing_reviewed_says_nothing():
    """There is no estimate without a review."""
    assert bad_share([]) is None


def test_equal_weights_are_wilsons_interval():
    """Of 40 equally likely reviews 4 bad: 10 %, 4.0 to 23.1 % (Wilson)."""
    found = bad_share([Reviewed(7.0, i < 4) for i in range(40)])
    assert found is not None
    assert found.share == pytest.approx(0.1)
    assert (found.low, found.high) == (pytest.approx(0.0396, abs=2e-4), pytest.approx(0.2305, abs=2e-4))
    assert found.effective == pytest.approx(40.0)


def test_one_bad_one_that_stands_for_many_is_uncertain():
    """A review with most of the weight leaves little certainty."""
    found = bad_share([Reviewed(200.0, bad=True), *[Reviewed(1.0, bad=False)] * 50])
    assert found is not None
    assert found.share == pytest.approx(0.8)
    assert found.effective < 2.0
    assert found.low < 0.4


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
def test_intervals_cover(share: float):
    """Over 400 weeks of sampled hours at least 93 % of the intervals hold the truth, and none is always wide."""
    rng = np.random.default_rng(2)
    covered, widths = 0, []
    for _ in range(400):
        reviews, bad_all, n = [], 0, 0
        for _ in range(20):
            p = rng.random(200)
            bad = rng.random(200) < np.clip(share * (0.5 + 0.1 / np.sqrt(p)), 0, 1)
            weight = np.clip(0.01 / p, FLOOR, CEILING)
            kept = keep(weight / rng.random(200), 12)
            reviews += [Reviewed(times(weight[i], kept.threshold), bool(bad[i])) for i in kept.places]
            bad_all, n = bad_all + int(bad.sum()), n + 200
        found = bad_share(reviews)
        assert found is not None
        covered += found.low <= bad_all / n <= found.high
        widths.append(found.high - found.low)
    assert covered >= 0.93 * 400 - 2 * np.sqrt(400 * 0.05 * 0.95) / 2
    assert np.mean(widths) < 0.3
