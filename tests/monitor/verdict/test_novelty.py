"""The share of new prompts is estimated without bias that matters, with intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.baseline.folds import Arrivals, split
from monitor.baseline.quantiser import fit_quantiser
from monitor.verdict.novelty import NewShare, new_share

CELLS = 20


def histogram(rng: np.random.Generator, n: int, share: float, beyond: float) -> NDArray[np.float64]:
    """Draw novelty ranks of n prompts, of which a share lies uniformly beyond a rank."""
    new = rng.binomial(n, share)
    ranks = np.concatenate([rng.random(n - new), beyond + (1 - beyond) * rng.random(new)])
    return np.bincount(np.minimum((ranks * CELLS).astype(int), CELLS - 1), minlength=CELLS).astype(float)


def simulate(n: int, share: float, beyond: float, runs: int = 400) -> list[NewShare]:
    """Estimate the share in many simulated windows."""
    rng = np.random.default_rng([n, int(100 * share)])
    found = [new_share(histogram(rng, n, share, beyond), 10**6) for _ in range(runs)]
    return [f for f in found if f is not None]


@pytest.mark.parametrize("n", [100, 400, 2000])
def test_without_change(n: int):
    """The estimate's mean and 99.9 % point are the stated ones, and p-values are as rare as they say."""
    found = simulate(n, 0.0, 0.9)
    values = np.array([f.value for f in found])
    assert values.mean() == pytest.approx(found[0].null_mean, rel=0.35)
    assert (values > found[0].null_high).mean() <= 0.01
    for level in (0.05, 0.01):
        assert np.mean([f.p_value <= level for f in found]) <= level + 3 * np.sqrt(level / 400)


@pytest.mark.parametrize("beyond", [0.7, 0.9, 0.98])
@pytest.mark.parametrize(("n", "share"), [(200, 0.3), (1000, 0.1), (1000, 0.5)])
def test_a_mixture_is_taken_apart(n: int, share: float, beyond: float):
    """The share is found within a few points and its interval covers it, however novel the new topic is."""
    found = simulate(n, share, beyond)
    # An unbiased estimate of standard error 1 / sqrt(n) at most, 400 times.
    assert abs(np.mean([f.value for f in found]) - share) < 3 / np.sqrt(400 * n)
    assert all(f.low <= f.value <= f.high for f in found)


@pytest.mark.parametrize("share", [0.0, 0.03, 0.1, 0.4, 0.8])
@pytest.mark.parametrize(("n", "m"), [(60, 10_000), (300, 300), (300, 5000), (2000, 1000)])
def test_intervals_hold_the_true_share(n: int, m: int, share: float):
    """Of intervals at 95 %, 95 % hold the share over baselines and windows, at none of it and at most of it."""
    rng = np.random.default_rng([n, m, int(100 * share)])
    found = []
    for _ in range(1000):
        # Ranks are places among m held-out distances; of a topic that arrives all lie beyond the median.
        held_out = np.sort(rng.random(m))
        new = rng.binomial(n, share)
        distances = np.concatenate([rng.random(n - new), 0.75 + 0.5 * rng.random(new)])
        ranks = np.searchsorted(held_out, distances) / (m + 1)
        cells = np.bincount(np.minimum((ranks * CELLS).astype(int), CELLS - 1), minlength=CELLS)
        found.append(new_share(cells.astype(float), m))
    held = sum(f.low <= share <= f.high for f in found if f is not None)
    # The 0.01 % points of binomial(1000, .95), and what normal limits at sixty prompts cost.
    assert 920 <= held <= 976


def test_an_interval_is_never_empty():
    """Prompts that are more familiar than known ones, by chance, leave room for a few new ones."""
    found = new_share(np.concatenate([np.full(10, 40.0), np.full(10, 20.0)]), 10_000)
    assert found is not None
    assert found.value == found.low == 0.0
    assert 0.005 < found.high < 0.1


def test_shrunken_ranks_are_no_news():
    """What the baseline's own prompts look like is expected, uniform or not."""
    usual = np.linspace(1.2, 0.8, CELLS) * 500
    plain, beside = new_share(usual / 5, 10_000), new_share(usual / 5, 10_000, usual=usual)
    assert plain is not None
    assert beside is not None
    assert beside.low == beside.value == 0.0
    assert beside.p_value == 1.0
    assert plain.high < beside.high


def test_a_plain_case_is_certain():
    """One prompt in three of a new topic, in a thousand, is beyond doubt."""
    assert all(f.p_value < 1e-6 for f in simulate(1000, 0.3, 0.9, runs=50))


@pytest.mark.parametrize("m", [150, 400])
def test_small_baselines_are_no_news(m: int):
    """Ranks learnt from a hundred distances are uncertain, and p-values as rare as they say all the same."""
    p_values = []
    for seed in range(120):
        rng = np.random.default_rng([m, seed])
        centres = np.random.default_rng(1).standard_normal((6, 12))
        points = centres[rng.integers(0, 6, m + 300)] + 0.4 * rng.standard_normal((m + 300, 12))
        unit = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
        fitted = fit_quantiser(unit[:m], split(Arrivals.at(np.zeros(m)), seed), 32, seed)
        novelty = fitted.quantiser.assign(unit[m:]).novelty
        ranks = np.bincount(np.minimum((novelty * CELLS).astype(int), CELLS - 1), minlength=CELLS)
        found = new_share(ranks.astype(float), int(fitted.held_out.sum()))
        assert found is not None
        p_values.append(found.p_value)
    # The 99.9 % points of binomial(120, .05) and binomial(120, .01) are 14 and 5.
    assert sum(p <= 0.05 for p in p_values) <= 14
    assert sum(p <= 0.01 for p in p_values) <= 5


def test_overdispersed_windows_are_less_certain():
    """Sessions make the same histogram weaker evidence, and its interval wider."""
    ranks = histogram(np.random.default_rng(0), 300, 0.1, 0.9)
    one, four = new_share(ranks, 1000), new_share(ranks, 1000, overdispersion=4.0)
    assert one is not None
    assert four is not None
    assert four.p_value > one.p_value
    assert four.high - four.low > one.high - one.low


def test_nothing_to_estimate():
    """No prompts, no share."""
    assert new_share(np.zeros(CELLS), 100) is None


def test_a_window_of_nothing_else():
    """All new is a share of one."""
    found = new_share(np.eye(CELLS)[-1] * 50, 1000)
    assert found is not None
    assert found.value == 1.0
