"""One prompt or user that fills the traffic stands out; many that come again do not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.evidence.repetition import largest_share, repeated
from monitor.sketch.cells import CELLS


def counter(
    rng: np.random.Generator, n: int, flood: float = 0.0, run: int = 1, kinds: int = 3000
) -> NDArray[np.float64]:
    """Draw a counter of n exchanges in runs of equal ones; a share of them are one and the same."""
    drawn = np.repeat(rng.integers(0, kinds, n // run + 1) * 7919 % CELLS, run)[:n]
    drawn[rng.random(n) < flood] = 5
    return np.bincount(drawn, minlength=CELLS).astype(float)


@pytest.mark.parametrize(("run", "dispersion"), [(1, 1.0), (8, 8.0)])
@pytest.mark.parametrize("n", [100, 600])
def test_ordinary_traffic_repeats_nothing(n: int, run: int, dispersion: float):
    """Over two hundred windows no p-value is small, sessions or none, once their dispersion is known."""
    rng = np.random.default_rng(n + run)
    found = [repeated(counter(rng, 3000, run=run), counter(rng, n, run=run), dispersion) for _ in range(200)]
    assert sum(f is not None and f.p_value <= 0.001 for f in found) <= 1


@pytest.mark.parametrize("share", [0.15, 0.4, 0.9])
def test_a_flood_is_measured(share: float):
    """The share of what comes again and again is found within its error."""
    rng = np.random.default_rng(3)
    found = repeated(counter(rng, 5000), counter(rng, 600, flood=share), 1.0)
    assert found is not None
    assert found.p_value < 1e-3
    assert found.window == pytest.approx(share, abs=0.04)
    assert found.baseline < 0.02


def test_what_the_baseline_repeats_is_no_news():
    """A prompt that a third of the baseline consists of may be a third of the window."""
    rng = np.random.default_rng(4)
    found = repeated(counter(rng, 5000, flood=0.33), counter(rng, 600, flood=0.35), 1.0)
    assert found is not None
    assert found.p_value > 0.5


def test_nothing_to_compare():
    """Without users there is no flood."""
    nothing, some = np.zeros(CELLS), np.ones(CELLS)
    assert repeated(nothing, some, 1.0) is None
    assert repeated(some, nothing, 1.0) is None


def test_another_busiest_one_is_no_news():
    """Users come and go: a new one may be as busy as the busiest was."""
    rng = np.random.default_rng(5)
    before, after = counter(rng, 5000), counter(rng, 600)
    before[7] += 1000
    after[90] += 120
    found = repeated(before, after, 1.0)
    assert found is not None
    assert found.p_value > 0.5
    assert found.window == pytest.approx(found.baseline, abs=0.03)


def test_the_null_leaves_room():
    """Room for the margin, for the baseline's own error, and for an uncertain hour."""
    counts = np.full(CELLS, 40.0)
    plain, wide = largest_share(counts, 1.0, 0.05), largest_share(counts, 1.0, 0.05, uncertainty=0.01)
    assert 1 / CELLS + 0.05 < plain < wide
    assert largest_share(np.eye(CELLS)[0] * 10_000, 1.0, 0.05) == pytest.approx(1.0, abs=1e-5)


def test_nothing_but_one_prompt_on_both_sides():
    """What was always all of the traffic cannot come more often."""
    found = repeated(np.eye(CELLS)[3] * 400, np.eye(CELLS)[3] * 300, 1.0)
    assert found is not None
    assert found.p_value > 0.5
