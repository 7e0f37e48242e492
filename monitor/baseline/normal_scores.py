"""Normal scores: any feature as a number that is standard normal, or flatter, when nothing has changed.

A feature is cut at its baseline quantiles; each cell gets the mean of a standard normal over the cell's share of
probability (van der Waerden scores with ties averaged). Being conditional means of a normal variable, scores are
1-sub-Gaussian whatever the feature's distribution, discrete ones included (Jensen), which is what the evidence in
`edetector` needs. Monotone, bounded, immune to outliers and units.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

CELLS = 64

Floats = NDArray[np.float64]


class NormalScores(NamedTuple):
    """The score functions of p features: `edges` and `values`, each a (p, CELLS) array padded at the end."""

    edges: Floats
    values: Floats

    def transform(self, features: Floats) -> Floats:
        """Return the scores of float64 (n, p) features, the same shape."""
        scores = np.empty_like(features)
        for j in range(features.shape[1]):
            scores[:, j] = self.values[j][np.searchsorted(self.edges[j], features[:, j], side="right")]
        return scores


def fit_normal_scores(features: Floats) -> NormalScores:
    """Learn the score functions from float64 (m, p) baseline features; NaN stands for a value to leave out."""
    columns = [_fit_column(column[~np.isnan(column)]) for column in features.T]
    edges = np.full((len(columns), CELLS - 1), np.inf)
    values = np.zeros((len(columns), CELLS))
    for j, (cut, value) in enumerate(columns):
        edges[j, : len(cut)] = cut
        values[j, : len(value)] = value
        values[j, len(value) :] = value[-1]
    return NormalScores(edges, values)


def _fit_column(column: Floats) -> tuple[Floats, Floats]:
    """Return the inner edges and the score of each cell; an edge belongs to the cell on its right."""
    if not len(column):
        return np.zeros(0), np.zeros(1)
    wanted = np.quantile(column, np.linspace(0, 1, CELLS + 1)[1:-1], method="higher")
    edges = np.unique(wanted)
    edges = edges[edges > column.min()]
    counts = np.bincount(np.searchsorted(edges, column, side="right"), minlength=len(edges) + 1)
    # Half a count in every cell: an empty or one-sided cell keeps a finite score.
    share = np.asarray((counts + 0.5) / (len(column) + 0.5 * len(counts)), dtype=np.float64)
    return edges, interval_means(share)


def interval_means(share: Floats) -> Floats:
    """Return E[Z | cell] for a standard normal Z cut into cells of these probabilities; their mean is zero."""
    upper = np.concatenate([[0.0], np.cumsum(share)])
    density = norm.pdf(norm.ppf(np.clip(upper, 0.0, 1.0)))
    density[[0, -1]] = 0.0
    means: Floats = -np.diff(density) / share
    return means
