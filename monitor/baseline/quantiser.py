"""The quantiser: clusters of a baseline's texts, and how far a new text lies from what was there.

K-means on unit vectors, twice: a few clusters that have names, and many landmarks that distances are taken to, because
a handful of centres leaves room between them for topics that the baseline never had. The *novelty* of a text is the
rank, in [0, 1], of its distance to the nearest landmark among baseline texts of the same cluster: uniform when nothing
has changed, close to 1 for a new topic. A text beyond `FAR` of all of the baseline's distances is *far*, and counted at
its landmark: a topic that arrives gathers near few of them.

Centres come from one half of the baseline and ranks from the other (split conformal; Vovk et al. 2005): texts that
helped to place a centre lie too near to it, and would make every new text look novel. The halves are made of stretches
of time (see `folds`). Where the novelty of the baseline's own texts is needed, each half is ranked by centres of the
other.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from monitor.sketch.layout import LANDMARKS

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]
RANKS = 33
# A landmark needs this many texts of the half that places them.
_TEXTS_A_LANDMARK = 12
FAR = 0.8
# Beyond this many rows K-means learns nothing more about 32 clusters.
_FIT_ROWS = 6000
# A cluster's own distance ranks are shrunk towards those of all clusters with this many exchanges' weight.
_PRIOR = 40.0


class Assigned(NamedTuple):
    """Where n texts fall: `cluster` and nearest `landmark` int (n,), `novelty` float (n,) in [0, 1].

    `far` int (n,): the landmark again where a text lies far from all of them, else -1.
    """

    cluster: NDArray[np.intp]
    novelty: Floats
    landmark: NDArray[np.intp]
    far: NDArray[np.intp]


class Quantiser(NamedTuple):
    """K centroids float32 (K, dim), and for each cluster the quantiles of held-out distances (K, RANKS).

    Distances are those to the nearest of `landmarks` float32 (at most LANDMARKS, dim), unit vectors; beyond `reach` (1,)
    a text is far.
    """

    centroids: Vectors
    ranks: Floats
    landmarks: Vectors
    reach: Floats

    def assign(self, vectors: Vectors) -> Assigned:
        """Assign float32 (n, dim) unit vectors."""
        cluster, landmark = nearest(self.centroids, vectors), nearest(self.landmarks, vectors)
        distance = distances(self.landmarks, landmark, vectors)
        grid = np.linspace(0.0, 1.0, self.ranks.shape[1])
        novelty = np.empty(len(vectors))
        for k in np.unique(cluster):
            rows = cluster == k
            novelty[rows] = np.interp(distance[rows], self.ranks[k], grid)
        return Assigned(cluster, novelty, landmark, np.where(distance > self.reach[0], landmark, -1))


class Fitted(NamedTuple):
    """A quantiser, which rows bool (m,) were held out for its ranks, and the `novelty` (m,) of all rows.

    Held-out rows are exchangeable with new texts. The others are ranked by a second quantiser whose halves are
    swapped, so that the novelty of every row is as that of a new text.
    """

    quantiser: Quantiser
    held_out: NDArray[np.bool_]
    novelty: Floats


def nearest(centroids: Vectors, vectors: Vectors) -> NDArray[np.intp]:
    """Return the index of the nearest centroid."""
    lengths = (centroids**2).sum(axis=1)
    return np.asarray(np.argmax(vectors @ centroids.T - 0.5 * lengths, axis=1), dtype=np.intp)


def distances(centroids: Vectors, place: NDArray[np.intp], vectors: Vectors) -> Floats:
    """Return the Euclidean distance of each vector to the centroid at its place.

    Row by row and not from the matrix product, whose last digits depend on what else it multiplies: how far a text is
    must not depend on its batch.
    """
    apart = vectors.astype(np.float64) - centroids[place]
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", apart, apart)), dtype=np.float64)


def fit_quantiser(vectors: Vectors, held_out: NDArray[np.bool_], clusters: int, seed: int) -> Fitted:
    """Learn centroids from some of float32 (m, dim) unit vectors, distance ranks from those `held_out` (m,)."""
    k = max(2, min(clusters, len(vectors) // 24))
    quantiser = _fit_half(vectors[~held_out], vectors[held_out], k, seed)
    swapped = _fit_half(vectors[held_out], vectors[~held_out], k, seed)
    novelty = np.where(held_out, quantiser.assign(vectors).novelty, swapped.assign(vectors).novelty)
    return Fitted(quantiser, held_out, novelty)


def _fit_half(vectors: Vectors, others: Vectors, k: int, seed: int) -> Quantiser:
    """Learn centroids and landmarks from `vectors`, distance ranks from `others`."""
    centroids = _centroids(vectors, k, seed)
    landmarks = _centroids(vectors, max(2, min(LANDMARKS, len(vectors) // _TEXTS_A_LANDMARK)), seed)
    landmarks /= np.maximum(np.linalg.norm(landmarks, axis=1, keepdims=True), 1e-9)
    own = nearest(centroids, others)
    distance = distances(landmarks, nearest(landmarks, others), others)
    grid = np.linspace(0.0, 1.0, RANKS)
    everywhere = np.quantile(distance, grid)
    ranks = np.tile(everywhere, (k, 1))
    for c in range(k):
        mine = distance[own == c]
        if len(mine):
            weight = len(mine) / (len(mine) + _PRIOR)
            ranks[c] = weight * np.quantile(mine, grid) + (1 - weight) * everywhere
    # np.interp needs increasing points; ties occur among duplicate texts.
    ranks = np.maximum.accumulate(ranks, axis=1) + np.arange(RANKS) * 1e-9
    return Quantiser(centroids, ranks, landmarks, np.array([np.quantile(distance, FAR)]))


def _centroids(vectors: Vectors, k: int, seed: int) -> Vectors:
    if len(vectors) > _FIT_ROWS:
        vectors = vectors[np.random.default_rng(seed).choice(len(vectors), _FIT_ROWS, replace=False)]
    with warnings.catch_warnings():
        # Fewer distinct texts than clusters: the surplus centroids coincide, which is harmless.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = KMeans(k, n_init=1, max_iter=30, random_state=seed).fit(vectors)
    centers: Vectors = fitted.cluster_centers_.astype(np.float32)
    return centers
