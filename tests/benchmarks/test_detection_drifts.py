"""Cells of the benchmark's drifts: what is kept between runs is what was found, and verdicts are counted by their truth."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.detection.drifts import Cell, Run, Said, packed, sums, unpacked
from benchmarks.detection.worlds import Change
from monitor.contract import Cause, Direction

NOWHERE = np.zeros(0, dtype=np.intp)
TRAFFIC = Said("minor", "neutral", "traffic")
MODEL = Said("critical", "improved", "model")


def cell(change: Change, *runs: Run) -> Cell:
    """Return a cell of these runs."""
    return Cell("world", change, runs)


CELLS = [
    cell(
        Change("novel topic", NOWHERE, 0.1, Cause.TRAFFIC, gradual=True),
        Run(120.0, early=False, at_once=MODEL, later=TRAFFIC),
        Run(float("inf"), early=True, at_once=None, later=None),
    ),
    cell(
        Change("weaker model", NOWHERE, 1.0, Cause.MODEL, Direction.DEGRADED),
        Run(20.0, early=False, at_once=MODEL, later=MODEL),
    ),
    cell(
        Change("nothing", NOWHERE, 1.0, Cause.NONE),
        Run(float("inf"), early=False, at_once=None, later=None),
    ),
]


def test_what_is_kept_is_what_was_found():
    """Cells survive the file they are kept in, misses and missing verdicts included."""
    again = unpacked(json.loads(json.dumps(packed(CELLS))))
    assert [c.runs for c in again] == [c.runs for c in CELLS]
    assert [c.change.title for c in again] == ["novel topic, 10% over a day", "weaker model, 100%", "nothing"]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("cause right, of traffic, model, data quality, scorer, none", [[2, 3], [3, 3]]),
        ("direction right where it is known", [[0, 1], [0, 1]]),
        ("better called worse, or worse better", [[1, 1], [1, 1]]),
        ("known topics in other proportions: model blamed", [[0, 0], [0, 0]]),
    ],
)
def test_verdicts_are_counted_by_their_truth(rule: str, expected: list[list[int]]):
    """Silence on nothing is right; a novel topic is no matter of proportions; improved is the reverse of degraded."""
    assert sums(CELLS)[rule] == expected
