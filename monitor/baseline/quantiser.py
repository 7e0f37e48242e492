"""The quantiser: clusters of a baseline's texts, and how far a new text lies from what was there.

K-means on unit vectors, twice: a few clusters that have names, and many landmarks that distances are taken to, because
a handful of centres leaves room between them for topics that the baseline never had. The *novelty* of a text is the
rank, in [0, 1], of its distance to the nearest landmark among baseline texts of the same cluster: uniform when nothing
has changed, close to 1 for a new topic. A text beyond `FAR` of all of the baseline's distances is *far*, and counted at
its landmark: a topic that arrives gathers near few of them.

Centres come from one half of the baseline and ranks from the other (split conformal; Vovk et al. 2005): texts that
helped to place a centre lie too near to it, and would make every new text look novel. The halves are made of stretches
of time (see `folds`). The baseline's own texts must be as novel as new ones would be, or new ones would seem more so:
each half is ranked by centres of the other, and each part of a half by distances of its other parts (cross-conformal;
Vovk 2015).
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from monitor.baseline.folds import Split
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
        novelty = _novelty(self.ranks, distance, cluster)
        return Assigned(cluster, novelty, landmark, np.where(distance > self.reach[0], landmark, -1))


class Fitted(NamedTuple):
    """A quantiser, which rows bool (m,) were held out for its ranks, and the `novelty` (m,) of all rows.

    Held-out rows are exchangeable with new texts. The others are ranked by a second quantiser whose halves are
    swapped, and no row by its own distance, so that the novelty of every row is as that of a new text.
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


def fit_quantiser(vectors: Vectors, split: Split, clusters: int, seed: int) -> Fitted:
    """Learn centroids of float32 (m, dim) unit vectors from one half of them, and distance ranks from the other."""
    k = max(2, min(clusters, len(vectors) // 24))
    held_out, part = split
    novelty = np.empty(len(vectors))
    quantiser, novelty[held_out] = _fit_half(vectors[~held_out], vectors[held_out], part[held_out], k, seed)
    _, novelty[~held_out] = _fit_half(vectors[held_out], vectors[~held_out], part[~held_out], k, seed)
    return Fitted(quantiser, held_out, novelty)


def _fit_half(
    vectors: Vectors, others: Vectors, part: NDArray[np.intp], k: int, seed: int
) -> tuple[Quantiser, Floats]:
    """Learn centroids and landmarks from `vectors`, distance ranks from `others`; return these' own novelty, too.

    `part` (n,): the others of one part are ranked by those of the rest.
    """
    centroids = _centroids(vectors, k, seed)
    landmarks = _centroids(vectors, max(2, min(LANDMARKS, len(vectors) // _TEXTS_A_LANDMARK)), seed)
    landmarks /= np.maximum(np.linalg.norm(landmarks, axis=1, keepdims=True), 1e-9)
    cluster = nearest(centroids, others)
    distance = distances(landmarks, nearest(landmarks, others), others)
    reach = np.array([np.quantile(distance, FAR)])
    novelty = np.empty(len(others))
    for one in np.unique(part):
        mine = part == one
        rest = mine if mine.all() else ~mine
        ranks = _distance_ranks(distance[rest], cluster[rest], k)
        novelty[mine] = _novelty(ranks, distance[mine], cluster[mine])
    return Quantiser(centroids, _distance_ranks(distance, cluster, k), landmarks, reach), novelty


def _distance_ranks(distance: Floats, cluster: NDArray[np.intp], k: int) -> Floats:
    """Return the quantiles (k, RANKS) of distances (n,) in each cluster, drawn towards those of all."""
    everywhere = _quantiles(distance)
    ranks = np.tile(everywhere, (k, 1))
    for c in range(k):
        mine = distance[cluster == c]
        if len(mine):
            weight = len(mine) / (len(mine) + _PRIOR)
            ranks[c] = weight * _quantiles(mine) + (1 - weight) * everywhere
    # np.interp needs increasing points; ties occur among duplicate texts.
    return np.asarray(np.maximum.accumulate(ranks, axis=1) + np.arange(RANKS) * 1e-9, dtype=np.float64)


def _quantiles(distance: Floats) -> Floats:
    """Return RANKS quantiles, such that a share p of new distances lies below quantile p, however few are known."""
    return np.asarray(np.quantile(distance, np.linspace(0.0, 1.0, RANKS), method="weibull"), dtype=np.float64)


def _novelty(ranks: Floats, distance: Floats, cluster: NDArray[np.intp]) -> Floats:
    """Return the rank (n,) in [0, 1] of distances (n,) among those of their clusters."""
    grid = np.linspace(0.0, 1.0, ranks.shape[1])
    novelty = np.empty(len(distance))
    for k in np.unique(cluster):
        rows = cluster == k
        novelty[rows] = np.interp(distance[rows], ranks[k], grid)
    return novelty


def _centroids(vectors: Vectors, k: int, seed: int) -> Vectors:
    if len(vectors) > _FIT_ROWS:
        vectors = vectors[np.random.default_rng(seed).choice(len(vectors), _FIT_ROWS, replace=False)]
    with warnings.catch_warnings():
        # Fewer distinct texts than clusters: the surplus centroids coincide, which is harmless.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = KMeans(k, n_init=1, max_iter=30, random_state=seed).fit(vectors)
    centers: Vectors = fitted.cluster_centers_.astype(np.float32)
    return centers
