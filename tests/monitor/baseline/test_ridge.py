"""What is left over of an exchange comes from fits that it took no part in."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.baseline.folds import Arrivals
from monitor.baseline.ridge import regress


def test_what_is_linear_is_found():
    """Coefficients of a line with little noise come back, and so does the noise."""
    rng = np.random.default_rng(1)
    design = np.hstack([np.ones((2000, 1)), rng.standard_normal((2000, 3))])
    target = design @ np.array([[1.0], [2.0], [0.0], [-1.0]]) + 0.1 * rng.standard_normal((2000, 1))
    coefficients, left = regress(design, target, Arrivals.at(np.zeros(len(design))))
    assert coefficients[:, 0] == pytest.approx([1.0, 2.0, 0.0, -1.0], abs=0.05)
    assert left.std() == pytest.approx(0.1, rel=0.5)


def test_noise_is_not_explained():
    """With as many columns as rows over two, held-out residuals of pure noise are no smaller than the noise."""
    rng = np.random.default_rng(2)
    design = np.hstack([np.ones((200, 1)), rng.standard_normal((200, 100))])
    target = rng.standard_normal((200, 1))
    _, left = regress(design, target, Arrivals.at(np.zeros(len(design))))
    assert left.std() >= 0.95 * target.std()


def test_a_design_that_never_varies():
    """Where all ask one thing, a value that most answers have leaves one and the same number of all of them."""
    rng = np.random.default_rng(5)
    flag = (rng.random(400) < 0.03).astype(np.float64)
    design = np.column_stack([np.ones(400), np.full((400, 3), 0.7)])
    coefficients, left = regress(design, flag[:, None], Arrivals.at(np.zeros(400)))
    assert len(np.unique(left)) == 2
    later = flag[:, None] - design @ coefficients
    assert (later == left).all()
    assert left.mean() == pytest.approx(0.0, abs=1e-12)
