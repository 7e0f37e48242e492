"""The novelty of a text is an honest rank: uniform for more of the same, near 1 for what was never there."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from monitor.baseline.folds import Arrivals, split
from monitor.baseline.quantiser import Fitted, distances, fit_quantiser, nearest
from tests.monitor.synthetic import World


def fitted_to(vectors: np.ndarray, clusters: int, seed: int = 0) -> Fitted:
    """Fit a quantiser to independent texts, half of them held out."""
    return fit_quantiser(vectors, split(Arrivals.at(np.zeros(len(vectors))), seed), clusters, seed)


@pytest.mark.parametrize("m", [200, 600, 3000])
def test_novelty_is_uniform_on_new_texts(m: int):
    """On new prompts of the same source the ranks are uniform, small baselines and many clusters included."""
    fitted = fitted_to(World().make(m, seed=1).prompt, 32)
    novelty = fitted.quantiser.assign(World().make(400, seed=2).prompt).novelty
    # A baseline of m / 2 held-out texts knows the ranks to within about 1 / sqrt(m / 2).
    assert kstest(novelty, "uniform").statistic < 1.36 / np.sqrt(400) + 1.36 / np.sqrt(m / 2)


@pytest.mark.parametrize("m", [200, 3000])
def test_the_baselines_own_novelty_is_as_that_of_new_texts(m: int):
    """Rows that placed the centroids are ranked by the other half, so the whole baseline is uniform, too."""
    fitted = fitted_to(World().make(m, seed=1).prompt, 32)
    for rows in (fitted.held_out, ~fitted.held_out):
        assert kstest(fitted.novelty[rows], "uniform").statistic < 0.06
    # Ranked by centroids that they made themselves, they would be nearer: the reason for two halves.
    own = fitted.quantiser.assign(World().make(m, seed=1).prompt).novelty[~fitted.held_out]
    assert own.mean() < 0.49


@pytest.mark.parametrize("beyond", [0.9, 0.98])
def test_as_many_of_the_baselines_own_texts_are_novel_as_of_new_ones(beyond: float):
    """Ranks that a text's own distance took part in would call it novel too seldom, most of all in the tail.

    Ranked with themselves, 2.1 % of such texts lay in the last fiftieth, and 3.0 % of new ones.
    """
    own, new = [], []
    for seed in range(60):
        fitted = fitted_to(World().make(200, seed=2 * seed).prompt, 32, seed)
        later = World().make(400, seed=2 * seed + 1).prompt
        own.append((fitted.novelty > beyond).mean())
        new.append((fitted.quantiser.assign(later).novelty > beyond).mean())
    error = np.std(np.subtract(own, new)) / np.sqrt(len(own))
    assert abs(np.mean(own) - np.mean(new)) < 3.0 * error


def test_new_topics_are_near_one():
    """Prompts of a direction that the baseline never had rank beyond nearly all of it."""
    fitted = fitted_to(World().make(1500, seed=1).prompt, 8)
    novel = World(shares=(0, 0, 0, 0, 1)).make(200, seed=2).prompt
    assert np.median(fitted.quantiser.assign(novel).novelty) > 0.98


def test_few_rows_make_few_clusters():
    """A cluster needs two dozen texts; two clusters are the least."""
    assert len(fitted_to(World().make(120, seed=1).prompt, 32).quantiser.centroids) == 5
    assert len(fitted_to(World().make(20, seed=1).prompt, 32).quantiser.centroids) == 2


def test_duplicate_texts_do_no_harm():
    """One text over and over gives clusters that coincide, and finite ranks."""
    same = np.repeat(World().make(1, seed=1).prompt, 100, axis=0)
    fitted = fitted_to(same, 32)
    assert np.isfinite(fitted.quantiser.assign(World().make(10, seed=2).prompt).novelty).all()


def test_the_same_rows_make_the_same_quantiser():
    """Learning is a function of rows and seed."""
    rows = World().make(300, seed=1).prompt
    one, two = (fitted_to(rows, 8, seed=3).quantiser for _ in range(2))
    assert np.array_equal(one.centroids, two.centroids)
    assert np.array_equal(one.ranks, two.ranks)


def test_nearest_is_nearest():
    """The fast formula finds what the plain one finds."""
    rng = np.random.default_rng(0)
    centroids = rng.standard_normal((7, 5)).astype(np.float32)
    vectors = rng.standard_normal((50, 5)).astype(np.float32)
    plain = np.linalg.norm(vectors[:, None] - centroids[None], axis=2)
    cluster = nearest(centroids, vectors)
    assert np.array_equal(cluster, plain.argmin(axis=1))
    assert distances(centroids, cluster, vectors) == pytest.approx(plain.min(axis=1), abs=1e-5)


def test_a_text_is_as_far_in_any_batch():
    """To the last bit: what is counted of an exchange does not depend on what came with it."""
    rows = World().make(200, seed=2).prompt
    quantiser = fitted_to(World().make(600, seed=1).prompt, 8).quantiser
    alone = np.concatenate([quantiser.assign(rows[i : i + 1]).novelty for i in range(200)])
    assert np.array_equal(quantiser.assign(rows).novelty, alone)
