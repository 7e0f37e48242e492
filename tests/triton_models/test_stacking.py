"""One run for many requests."""

from __future__ import annotations

import numpy as np
from scoring.stacking import run_stacked


def test_requests_are_run_once_and_answered_apart():
    """Requests of different sizes are one run; each gets its rows."""
    runs = []

    def double(values):
        runs.append(len(values))
        return (np.array(values) * 2, np.array(values) + 1)

    answers = run_stacked([([1, 2],), ([3],), ([4, 5, 6],)], double)
    assert runs == [6]
    assert [answer[0].tolist() for answer in answers] == [[2, 4], [6], [8, 10, 12]]
    assert [answer[1].tolist() for answer in answers] == [[2, 3], [4], [5, 6, 7]]


def test_what_is_wrong_with_one_fails_that_one():
    """A refused request is an error in its place; the others are answered."""

    def root(values):
        if min(values) < 0:
            raise ValueError(f"negative: {min(values)}")
        return (np.sqrt(values),)

    first, second, third = run_stacked([([4.0],), ([-1.0, 9.0],), ([16.0],)], root)
    assert first[0].tolist() == [2.0]
    assert isinstance(second, ValueError)
    assert third[0].tolist() == [4.0]
