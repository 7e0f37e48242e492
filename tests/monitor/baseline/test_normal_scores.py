"""Normal scores keep the promise that the evidence is built on, whatever the feature's distribution."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.baseline.normal_scores import CELLS, fit_normal_scores, interval_means

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
SOURCES: dict[str, Draw] = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "skewed": lambda rng, n: np.exp(2 * rng.standard_normal(n)),
    "heavy": lambda rng, n: rng.standard_cauchy(n),
    "coin": lambda rng, n: (rng.random(n) < 0.3).astype(np.float64),
    "rare": lambda rng, n: (rng.random(n) < 0.01).astype(np.float64),
    "counts": lambda rng, n: rng.poisson(1.5, n).astype(np.float64),
    "mostly zero": lambda rng, n: np.maximum(rng.standard_normal(n), 0.0),
}


@pytest.mark.parametrize("source", SOURCES)
def test_scores_are_sub_gaussian(source: str):
    """On new data of the same source E exp(l u) stays at exp(l² / 2) for every stake, in both directions."""
    rng = np.random.default_rng(0)
    scores = fit_normal_scores(SOURCES[source](rng, 40_000)[:, None])
    u = scores.transform(SOURCES[source](rng, 40_000)[:, None])[:, 0]
    for stake in (0.1, 0.2, 0.4, 0.8):
        for sign in (1, -1):
            assert np.exp(sign * stake * u).mean() <= np.exp(stake**2 / 2) * (1 + 0.04 * stake)
    assert abs(u.mean()) < 0.02
    assert u.var() <= 1.03


def test_continuous_scores_are_standard_normal():
    """A continuous feature gets nearly the full variance, and its order."""
    rng = np.random.default_rng(1)
    scores = fit_normal_scores(rng.standard_normal((20_000, 1)))
    x = np.sort(rng.standard_normal(5000))
    u = scores.transform(x[:, None])[:, 0]
    assert np.all(np.diff(u) >= 0)
    assert u.var() > 0.95
    assert np.corrcoef(u, x)[0, 1] > 0.99


def test_units_and_outliers_do_not_matter():
    """Scores of a feature in other units are the same, and a monster is just the highest score."""
    x = np.random.default_rng(2).standard_normal((3000, 1))
    one, other = fit_normal_scores(x), fit_normal_scores(x * 1000 + 5)
    assert np.array_equal(one.transform(x), other.transform(x * 1000 + 5))
    assert one.transform(np.array([[1e300]])) == one.transform(x).max()
    assert one.transform(np.array([[-np.inf]])) == one.transform(x).min()


def test_ties_share_one_score():
    """Equal values get the mean score of their ranks, so that the whole averages to zero."""
    x = np.repeat([0.0, 1.0], [700, 300])[:, None]
    u = fit_normal_scores(x).transform(x)[:, 0]
    assert set(np.unique(u[:700])) == {u[0]}
    assert u[0] < 0 < u[-1]
    assert abs(u.mean()) < 0.01


def test_a_constant_scores_zero_until_it_changes():
    """A feature that never varied scores nothing; a value beyond it may."""
    scores = fit_normal_scores(np.ones((500, 1)))
    assert abs(float(scores.transform(np.ones((1, 1)))[0, 0])) < 0.01


def test_missing_values_are_left_out_of_learning():
    """NaN among the baseline's values changes nothing; nothing but NaN scores zero."""
    x = np.random.default_rng(3).standard_normal((1000, 1))
    holed = np.vstack([x, np.full((500, 1), np.nan)])
    assert np.array_equal(fit_normal_scores(holed).transform(x), fit_normal_scores(x).transform(x))
    assert np.all(fit_normal_scores(np.full((9, 1), np.nan)).transform(x) == 0.0)


def test_the_mean_of_all_cells_is_zero():
    """Conditional means of a standard normal average to zero over any cells."""
    share = np.random.default_rng(4).dirichlet(np.ones(CELLS))
    assert abs(float((share * interval_means(share)).sum())) < 1e-9
