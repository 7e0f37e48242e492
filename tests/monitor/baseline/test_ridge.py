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
