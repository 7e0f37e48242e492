"""The quantiser: clusters of a baseline's texts, and how far a new text lies from what was there.

K-means on unit vectors after projection on the leading principal axes. The *novelty* of a text is the rank, in
[0, 1], of its distance to the nearest centroid among held-out baseline texts of the same cluster: uniform when
nothing has changed, close to 1 for a topic that the baseline never had. Held-out distances come from cross-fitting,
because distances of the texts that made the centroids are too short.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

Floats = NDArray[np.float64]
RANKS = 33
_FOLDS = 4
# Beyond this many rows K-means learns nothing more about 32 clusters.
_FIT_ROWS = 6000
# A cluster's own distance ranks are shrunk towards those of all clusters with this many exchanges' weight.
_PRIOR = 40.0


class Assigned(NamedTuple):
    """Where n texts fall: `cluster` int (n,), `novelty` float (n,) in [0, 1]."""

    cluster: NDArray[np.intp]
    novelty: Floats


class Quantiser(NamedTuple):
    """K centroids (K, dim), and the held-out distance quantiles of each cluster (K, RANKS)."""

    centroids: Floats
    ranks: Floats

    def assign(self, vectors: Floats) -> Assigned:
        """Assign float (n, dim) unit vectors."""
        cluster, distance = nearest(self.centroids, vectors)
        grid = np.linspace(0.0, 1.0, self.ranks.shape[1])
        novelty = np.empty(len(vectors))
        for k in np.unique(cluster):
            rows = cluster == k
            novelty[rows] = np.interp(distance[rows], self.ranks[k], grid)
        return Assigned(cluster, novelty)


def nearest(centroids: Floats, vectors: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Return the index of the nearest centroid and the Euclidean distance to it."""
    product = vectors @ centroids.T
    half = 0.5 * (centroids**2).sum(axis=1)
    cluster = np.argmax(product - half, axis=1)
    rows = np.arange(len(vectors))
    squared = (vectors**2).sum(axis=1) - 2.0 * (product[rows, cluster] - half[cluster])
    return cluster, np.sqrt(np.maximum(squared, 0.0))


def fit_quantiser(vectors: Floats, clusters: int, seed: int) -> tuple[Quantiser, Floats]:
    """Learn clusters and held-out distance ranks from float (m, dim) vectors.

    Also returns the held-out novelty (m,) of the vectors themselves.
    """
    k = max(2, min(clusters, len(vectors) // 12))
    centroids = _centroids(vectors, k, seed)
    own, _ = nearest(centroids, vectors)
    distance = _held_out_distances(vectors, k, seed)
    grid = np.linspace(0.0, 1.0, RANKS)
    everywhere = np.quantile(distance, grid)
    ranks = np.empty((len(centroids), RANKS))
    for c in range(len(centroids)):
        mine = distance[own == c]
        weight = len(mine) / (len(mine) + _PRIOR)
        ranks[c] = weight * (np.quantile(mine, grid) if len(mine) else everywhere) + (1 - weight) * everywhere
    # np.interp needs increasing points; ties occur among duplicate texts.
    ranks = np.maximum.accumulate(ranks, axis=1) + np.arange(RANKS) * 1e-9
    novelty = np.empty(len(vectors))
    for c in range(len(centroids)):
        novelty[own == c] = np.interp(distance[own == c], ranks[c], grid)
    return Quantiser(centroids, ranks), novelty


def _held_out_distances(vectors: Floats, k: int, seed: int) -> Floats:
    fold = np.random.default_rng(seed).permutation(len(vectors)) % _FOLDS
    distance = np.empty(len(vectors))
    for f in range(_FOLDS):
        out = fold == f
        _, distance[out] = nearest(_centroids(vectors[~out], k, seed), vectors[out])
    return distance


def _centroids(vectors: Floats, k: int, seed: int) -> Floats:
    if len(vectors) > _FIT_ROWS:
        vectors = vectors[np.random.default_rng(seed).choice(len(vectors), _FIT_ROWS, replace=False)]
    with warnings.catch_warnings():
        # Fewer distinct texts than clusters: the surplus centroids coincide, which is harmless.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = KMeans(k, n_init=1, max_iter=30, random_state=seed).fit(vectors)
    centers: Floats = fitted.cluster_centers_.astype(np.float64)
    return centers
