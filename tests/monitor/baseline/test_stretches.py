"""What is kept of more than is needed lies evenly, and stays."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.baseline.stretches import kept_stretches, stretch_length


def test_a_stretch_is_a_hundredth_of_a_baseline():
    """Long enough for dependence to be measured within it, short enough that a baseline has many."""
    assert [stretch_length(size) for size in (50, 200, 10_000, 1_000_000)] == [1, 2, 100, 100]


def test_few_enough_are_all_kept():
    """Nothing is let go before there is too much."""
    assert kept_stretches(dict.fromkeys(range(7), 10), 70) == set(range(7))
    assert kept_stretches({}, 10) == set()


@pytest.mark.parametrize("n", [101, 144, 777, 5000])
def test_kept_ones_are_enough_and_evenly_spread(n: int):
    """Just as many as are needed; nowhere is a gap of much more than the mean one."""
    kept = sorted(kept_stretches(dict.fromkeys(range(n), 100), 10_000))
    assert len(kept) == 100
    assert np.diff(kept).max() <= 4 * np.ceil(n / 100)
    assert (kept[0], kept[-1]) == (0, n - 1)


@pytest.mark.parametrize("period", [2, 4, 5, 8, 16])
def test_a_rhythm_of_the_traffic_does_not_choose(period: int):
    """Traffic that repeats itself, such as a file sent again and again, is kept of all its parts alike."""
    kept = np.array(sorted(kept_stretches(dict.fromkeys(range(4096), 100), 40_000)))
    counts = np.bincount(kept % period, minlength=period)
    assert np.abs(counts - 400 / period).max() < 4 * np.sqrt(400 / period)


def test_letting_go_bit_by_bit_is_letting_go_at_once():
    """So it does not matter how often it is done, nor that what is gone cannot be asked any more."""
    sizes: dict[int, int] = {}
    for number in range(1000):
        sizes[number] = 90 + number % 21
        if number % 7 == 0:
            sizes = {kept: sizes[kept] for kept in kept_stretches(sizes, 5000)}
    whole = {number: 90 + number % 21 for number in range(1000)}
    assert kept_stretches(sizes, 5000) == kept_stretches(whole, 5000)
    assert len(sizes) < 60
