"""The divergence is Lin's, and what chance shows beside it is what chance shows."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.verdict.divergence import Divergence, compare_histograms, entropy, jensen_shannon


def test_bounds():
    """Equal distributions diverge by nothing, disjoint ones by one bit."""
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.0, 0.0, 1.0])
    assert jensen_shannon(p, p) == 0.0
    assert jensen_shannon(p, q) == pytest.approx(1.0)
    assert entropy(np.array([0.25] * 4)) == pytest.approx(2.0)


def test_a_value_known_by_hand():
    """Half moved from one bin of two: H(3/4) - 1/2 = 0.3113 bits."""
    assert jensen_shannon(np.array([1.0, 0.0]), np.array([0.5, 0.5])) == pytest.approx(0.31128, abs=1e-5)


def simulate(bins: int, n: int, m: int, runs: int = 1500) -> list[Divergence]:
    """Compare pairs of histograms drawn from one distribution."""
    rng = np.random.default_rng(bins * n)
    p = rng.dirichlet(np.full(bins, 3.0))
    drawn = [(rng.multinomial(m, p).astype(float), rng.multinomial(n, p).astype(float)) for _ in range(runs)]
    return [found for a, b in drawn if (found := compare_histograms(a, b)) is not None]


@pytest.mark.parametrize(("bins", "n"), [(8, 100), (8, 1000), (32, 200), (32, 1000)])
def test_null_mean_and_p_values_agree_with_simulation(bins: int, n: int):
    """Without change, the mean divergence is the stated one, and p-values are as rare as they say."""
    found = simulate(bins, n, 2000)
    stated = np.mean([d.null_mean for d in found])
    assert np.mean([d.value for d in found]) == pytest.approx(stated, rel=0.15)
    assert np.mean([d.value > d.null_high for d in found]) <= 0.012
    for level in (0.05, 0.01):
        rate = np.mean([d.p_value <= level for d in found])
        # Sparse bins make the χ² tail a little heavier than it should be.
        assert rate <= 1.3 * level + 3 * np.sqrt(level / len(found))


def test_sparse_histograms_are_not_called_drift():
    """Fifty exchanges over 32 clusters diverge by 0.14 from chance alone: it is no evidence and hardly an effect."""
    found = simulate(32, 50, 2000)
    assert np.mean([d.value for d in found]) > 0.12
    assert np.mean([d.excess for d in found]) < 0.04
    assert np.mean([d.p_value <= 0.01 for d in found]) <= 0.03


def test_overdispersion_widens_the_null():
    """Twice the variance doubles what chance shows and weakens the evidence."""
    a, b = np.array([500.0, 500.0]), np.array([60.0, 40.0])
    one, two = compare_histograms(a, b), compare_histograms(a, b, 2.0)
    assert one is not None
    assert two is not None
    assert two.null_mean == pytest.approx(2 * one.null_mean)
    assert two.p_value > one.p_value
    assert two.value == one.value


def test_nothing_to_compare():
    """An empty side has no divergence."""
    assert compare_histograms(np.zeros(3), np.ones(3)) is None
    assert compare_histograms(np.ones(3), np.zeros(3)) is None
