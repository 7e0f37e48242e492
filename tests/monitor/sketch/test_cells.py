"""Hashed counters count the same text in the same cell and spread other texts evenly."""

from __future__ import annotations

import numpy as np

from monitor.sketch.cells import CELLS, cell_of, cells_of, counted


def test_a_text_has_one_cell():
    """Space around a text changes nothing, another text nearly always does."""
    assert cell_of("hello") == cell_of(" hello\n")
    assert len({cell_of(f"text {i}") for i in range(2000)}) == CELLS


def test_texts_spread_evenly():
    """Ten thousand texts fill all cells alike (χ² of 127 degrees of freedom, 99.99 % point 195)."""
    counts = counted(cells_of((f"prompt number {i}" for i in range(10_000)), 10_000))
    assert counts.sum() == 10_000
    expected = 10_000 / CELLS
    assert ((counts - expected) ** 2 / expected).sum() < 195


def test_nothing_is_not_counted():
    """Neither a missing user nor an empty prompt has a cell; lone surrogates do no harm."""
    cells = cells_of([None, "", "a", "\ud800"], 4)
    assert cells[:2].tolist() == [-1, -1]
    assert counted(cells).sum() == 2
    assert counted(np.zeros(0, dtype=np.intp)).sum() == 0
