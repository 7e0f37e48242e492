"""A history in blocks: the longest span of which there are enough, each exchange in one block, each block used once."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from monitor.contract import Exchange
from monitor.offline.blocks import FEWEST_BLOCKS, HistoryTooShort, cut, split


def history(n: int, apart_s: float) -> list[Exchange]:
    """Make exchanges at equal distances."""
    return [Exchange(id=str(i), time=1e9 + i * apart_s, prompt="p") for i in range(n)]


@pytest.mark.parametrize(
    ("n", "apart_s", "span"),
    [
        (2000, 3600.0, "days"),
        (500, 3600.0, "days"),
        (100, 1800.0, "quarter days"),
        (600, 60.0, "hours"),
        (600, 12.0, "ten minutes"),
        (400, 2.0, "minutes"),
    ],
)
def test_the_longest_span_of_which_there_are_enough(n, apart_s, span):
    """Days where there are eight of them, minutes where there is no more."""
    blocks = cut(history(n, apart_s))
    assert blocks.span == span
    assert len(blocks.rows) >= FEWEST_BLOCKS
    assert np.array_equal(np.concatenate(blocks.rows), np.arange(n))


def test_a_few_minutes_are_no_history():
    """And it is said what would be."""
    with pytest.raises(HistoryTooShort, match="covers 4 minutes"):
        cut(history(400, 0.5))
    with pytest.raises(HistoryTooShort):
        cut([])


def test_silent_days_are_no_blocks():
    """A history with a gap has as many days as it has traffic on."""
    first = history(240, 3600.0)
    later = [msgspec.structs.replace(e, id=f"x{e.id}", time=e.time + 90 * 86400.0) for e in first]
    assert len(cut([*first, *later]).rows) in {20, 21, 22}


@pytest.mark.parametrize("seed", range(5))
def test_a_split_uses_every_block_once(seed):
    """Baseline in order of time, stream in any order, nothing in both."""
    blocks = cut(history(1000, 3600.0))
    baseline, stream = split(blocks, np.random.default_rng(seed), 10_000)
    assert (np.diff(baseline) > 0).all()
    rest = np.concatenate(stream)
    assert sorted([*baseline.tolist(), *rest.tolist()]) == list(range(1000))
    assert abs(len(baseline) - 500) < 40


def test_a_baseline_takes_no_more_than_it_learns_from():
    """What it leaves is stream."""
    baseline, stream = split(cut(history(1000, 3600.0)), np.random.default_rng(0), 100)
    assert 100 <= len(baseline) < 125
    assert len(stream) > 30
