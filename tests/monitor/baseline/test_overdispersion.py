"""Overdispersion is one where exchanges are independent and about right where they are not."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.baseline.overdispersion import counter_overdispersion, grouped_overdispersion, overdispersion


def autocorrelated(rng: np.random.Generator, m: int, p: int, rho: float) -> np.ndarray:
    """Draw stationary series in which neighbours correlate by rho: sums vary (1 + rho) / (1 - rho) as much."""
    x = rng.standard_normal((m, p))
    for i in range(1, m):
        x[i] = rho * x[i - 1] + np.sqrt(1 - rho**2) * x[i]
    return x


@pytest.mark.parametrize("m", [300, 1000, 5000])
def test_independent_exchanges_have_none(m: int):
    """White noise is given a factor near one, never below it."""
    rng = np.random.default_rng(m)
    factors = np.array([overdispersion(rng.standard_normal((m, 27))) for _ in range(5)])
    assert factors.min() >= 1.0
    assert factors.mean() < 1.25


@pytest.mark.parametrize(("rho", "low", "high"), [(0.5, 2.3, 4.2), (0.8, 6.0, 13.0), (0.95, 20.0, 60.0)])
def test_neighbours_that_resemble_each_other(rho: float, low: float, high: float):
    """The factor comes near (1 + rho) / (1 - rho): 3, 9 and 39 here."""
    rng = np.random.default_rng(0)
    factors = [overdispersion(autocorrelated(rng, 5000, 5, rho)).mean() for _ in range(4)]
    assert low < np.mean(factors) < high


def test_one_clustered_score_among_independent_ones_is_found():
    """The factor belongs to the score that has it; the others are hardly drawn along."""
    rng = np.random.default_rng(1)
    scores = rng.standard_normal((6000, 20))
    scores[:, :1] = autocorrelated(rng, 6000, 1, 0.9)
    factor = overdispersion(scores)
    assert factor[0] > 10
    assert factor[1:].mean() < 2.0


def test_blocks_of_equal_values():
    """Sessions of five equal exchanges vary five times as much."""
    rng = np.random.default_rng(2)
    factor = overdispersion(np.repeat(rng.standard_normal((1200, 10)), 5, axis=0))
    assert 3.8 < factor.mean() < 6.5


@pytest.mark.parametrize("m", [0, 1, 119])
def test_too_few_exchanges_to_tell(m: int):
    """Without a dozen blocks independence is assumed."""
    assert overdispersion(np.ones((m, 3))).tolist() == [1.0, 1.0, 1.0]


def test_constant_scores():
    """A score that never varies has no overdispersion."""
    assert overdispersion(np.zeros((500, 2))).tolist() == [1.0, 1.0]


def test_scores_that_never_vary_say_nothing_of_the_others():
    """Beside any number of constant scores, dependence is measured as without them."""
    rng = np.random.default_rng(4)
    scores = autocorrelated(rng, 3000, 6, 0.5)
    beside = np.hstack([scores, np.zeros((3000, 30))])
    factor = overdispersion(beside)
    assert factor[:6] == pytest.approx(overdispersion(scores))
    assert (factor[6:] == 1.0).all()


def one_hot(cell: np.ndarray, cells: int) -> np.ndarray:
    """Return 0/1 (m, cells) of who is in which cell."""
    return (cell[:, None] == np.arange(cells)).astype(np.float64)


def test_cells_of_independent_exchanges_have_no_overdispersion():
    """Many cells that hold little, as far prompts do: their scatter is that of small counts."""
    rng = np.random.default_rng(5)
    share = np.r_[np.full(100, 0.002), 0.8]
    found = []
    for _ in range(10):
        held = one_hot(rng.choice(101, 5000, p=share), 100)
        found.append(counter_overdispersion(held, held.mean(axis=0)))
    assert min(found) >= 1.0
    assert max(found) < 1.25


def test_a_part_of_the_cells_in_runs_is_reckoned_with():
    """Where a tenth of what is counted comes in runs of eight, the factor is far above the mean one of 1.7."""
    rng = np.random.default_rng(6)
    single = rng.choice(50, 9000)
    runs = np.repeat(rng.choice(np.arange(50, 60), 125), 8)
    at = np.sort(rng.choice(9000, 125))
    held = one_hot(np.insert(single, np.repeat(at, 8), runs), 60)
    assert 2.5 < counter_overdispersion(held, held.mean(axis=0)) < 9.0
    assert counter_overdispersion(held - held.mean(axis=0), held.mean(axis=0)) > 2.5


def test_cells_that_nobody_is_in():
    """Nothing is known of them, and nothing goes wrong."""
    assert counter_overdispersion(np.zeros((500, 3)), np.zeros(3)) == 1.0
    assert counter_overdispersion(np.zeros((0, 3)), np.zeros(3)) == 1.0


def test_groups_that_come_together():
    """What is the same in all of a group varies by its size, what is not by nothing more; the constant stays one."""
    rng = np.random.default_rng(7)
    group = np.repeat(np.arange(300), 5)
    same, apart = rng.standard_normal((300, 6))[group], rng.standard_normal((1500, 6))
    assert grouped_overdispersion(same, group) == pytest.approx(5.0, rel=0.25)
    assert grouped_overdispersion(apart, group) == pytest.approx(1.0, rel=0.25)
    assert grouped_overdispersion(same, np.arange(1500)).tolist() == [1.0] * 6
    assert grouped_overdispersion(np.ones((1500, 2)), group).tolist() == [1.0, 1.0]
