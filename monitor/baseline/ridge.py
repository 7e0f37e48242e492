"""Ridge regression whose penalty and residuals are held-out (Hoerl & Kennard 1970; k-fold cross-validation).

Law: pure. What is left over of an exchange never comes from a fit that it took part in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.baseline.folds import Arrivals, Rows, folds

Floats = NDArray[np.float64]

_FOLDS = 4
# Penalties tried, as shares of the number of exchanges.
_PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0)


def regress(design: Floats, targets: Floats, arrivals: Arrivals) -> tuple[Floats, Floats]:
    """Return the coefficients, their penalty chosen by cross-validation, and the held-out residuals.

    Neighbours are held out together (see `folds`). A design that never varies explains nothing but the mean; what is
    left keeps its ties then, which the folds' means, each another by a little, would part.
    """
    if not np.ptp(design, axis=0).any():
        coefficients = np.zeros((design.shape[1], targets.shape[1]))
        coefficients[0] = targets.mean(axis=0)
        return coefficients, targets - coefficients[0]
    penalty, left = _held_out_residuals(design, targets, folds(arrivals, _FOLDS, seed=0))
    return _ridge(design, targets, penalty), left


def _held_out_residuals(design: Floats, targets: Floats, fold: Rows) -> tuple[float, Floats]:
    """Choose the penalty by cross-validation; return it with the held-out residuals it leaves."""
    best: tuple[float, float, Floats] | None = None
    for share in _PENALTIES:
        penalty = share * len(design)
        left = np.empty_like(targets)
        for f in range(_FOLDS):
            out: NDArray[np.bool_] = fold == f
            left[out] = targets[out] - design[out] @ _ridge(design[~out], targets[~out], penalty)
        loss = float((left**2 / (targets.var(axis=0) + 1e-12)).mean())
        if best is None or loss < best[0]:
            best = (loss, penalty, left)
    assert best is not None  # noqa: S101 - there is at least one penalty
    return best[1], best[2]


def _ridge(design: Floats, targets: Floats, penalty: float) -> Floats:
    weights = np.full(design.shape[1], penalty)
    weights[0] = 1e-6 * len(design)  # the intercept is not shrunk
    return np.asarray(
        np.linalg.solve(design.T @ design + np.diag(weights), design.T @ targets), dtype=np.float64
    )
