"""The layout puts every additive quantity at its place, counts as they are and real numbers in fixed point."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from monitor.sketch.layout import COUNTS, SCALE, fixed, known_share, layout_for


def test_fields_tile_the_vector():
    """No two fields overlap, none is missing, and the size is that of all."""
    layout = layout_for(8, 5)
    fields = sorted(layout.fields.values())
    assert fields[0].start == 0
    assert fields[-1].stop == layout.size
    assert all(a.stop == b.start for a, b in pairwise(fields))
    assert set(COUNTS) <= layout.fields.keys()


def test_what_is_added_is_read():
    """Counts come back exactly, real numbers to 1 / 65536."""
    layout = layout_for(4, 4)
    vector = np.zeros(layout.size, dtype=np.int64)
    layout.add(vector, "answers", 3)
    layout.add(vector, "reward", fixed(np.array([0.1, 0.2])).sum())
    assert layout.read(vector, "answers").tolist() == [3.0]
    assert abs(layout.read(vector, "reward")[0] - 0.3) <= 2 / SCALE
    assert np.count_nonzero(vector) == 2


def test_fixed_point_sums_do_not_depend_on_grouping():
    """Rounding each number makes sums exact, where sums of floats would differ by order."""
    values = np.random.default_rng(0).standard_normal(1000) * 1e3
    parts = sum(float(fixed(part).sum()) for part in np.array_split(values, 7))
    assert parts == fixed(values).sum()


def test_novelty_rests_on_half_of_the_baseline():
    """Ranks of distance come from the held-out half, all other scores from everything."""
    assert known_share(("reward", "response novelty")).tolist() == [1.0, 0.5]


def test_layouts_are_made_once():
    """The same sizes share one layout."""
    assert layout_for(8, 5) is layout_for(8, 5)
