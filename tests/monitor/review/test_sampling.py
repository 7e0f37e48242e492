"""Priority sampling: bounded, independent of how the hour is cut, and unbiased for any question asked of the sample."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.review.sampling import CEILING, FLOOR, FOCUS, draw, keep, times


def test_weights_stay_between_floor_and_ceiling():
    """Usual exchanges have the floor, the rarest the ceiling, and the focus multiplies either."""
    assert draw("a", 0.9, focused=False).weight == FLOOR
    assert draw("a", 1e-9, focused=False).weight == CEILING
    assert draw("a", 0.9, focused=True).weight == FOCUS * FLOOR
    assert draw("a", 0.02, focused=False).weight == pytest.approx(0.5)


def test_a_draw_depends_on_the_id_alone():
    """The same exchange has the same luck wherever and whenever it is drawn."""
    assert draw("x", 0.5, focused=False) == draw("x", 0.5, focused=False)
    luck = [
        draw(f"e{i}", 0.5, focused=False).weight / draw(f"e{i}", 0.5, focused=False).priority
        for i in range(4000)
    ]
    assert np.mean(luck) == pytest.approx(0.5, abs=0.02)
    assert np.std(luck) == pytest.approx(1 / np.sqrt(12), abs=0.01)


def test_keeping_in_parts_is_keeping_at_once():
    """Whatever the batches, the same places are kept and the same threshold is left."""
    rng = np.random.default_rng(0)
    for trial in range(50):
        priorities = rng.pareto(1.0, size=60)
        whole = keep(priorities, 5)
        kept: list[float] = []
        threshold = 0.0
        for part in np.array_split(priorities, rng.integers(1, 12)):
            offered = keep(part, 5)
            pool = [*kept, *part[list(offered.places)]]
            merged = keep(pool, 5, max(threshold, offered.threshold))
            kept, threshold = [pool[place] for place in merged.places], merged.threshold
        assert sorted(kept) == sorted(priorities[list(whole.places)]), trial
        assert threshold == whole.threshold


@pytest.mark.parametrize("n", [0, 3, 5])
def test_few_are_all_kept_and_stand_for_themselves(n: int):
    """An hour with no more exchanges than its number has no threshold."""
    kept = keep(np.arange(1.0, n + 1.0), 5)
    assert sorted(kept.places) == list(range(n))
    assert kept.threshold == 0.0
    assert times(0.05, 0.0) == 1.0


def test_sums_are_unbiased():
    """Over 3,000 hours the weighted sample gives the right count of a kind that is rare, common, usual or unusual."""
    rng = np.random.default_rng(1)
    p = rng.random(300)
    p[:3] = 0.001
    bad = (rng.random(300) < 0.2) | (p < 0.02)
    weight = np.clip(0.01 / p, FLOOR, CEILING)
    estimates = []
    for _ in range(3000):
        priorities = weight / rng.random(300)
        kept = keep(priorities, 12)
        estimates.append(sum(times(weight[i], kept.threshold) * bad[i] for i in kept.places))
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - bad.sum()) < 3.5 * error
    assert error < 0.05 * bad.sum()
