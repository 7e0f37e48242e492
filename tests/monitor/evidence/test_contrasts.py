"""What is contrasted is computed from the pooled exchanges, whoever they belong to."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from monitor.evidence.contrasts import (
    behaviour_statistics,
    clusters,
    fourier,
    principal,
    propensity_strata,
    residual_maker,
    same_prompt,
    service_statistics,
    standardise,
    thresholds,
    traffic_statistics,
)
from monitor.evidence.twosample import join
from monitor.sketch.features import extract
from tests.monitor.synthetic import World


def test_standardised_columns():
    """Columns come out centred at unit variance; constant ones go; a monster is clipped."""
    rng = np.random.default_rng(0)
    columns = np.column_stack([rng.standard_normal(500) * 9 + 3, np.ones(500)])
    out = standardise(columns)
    assert out.shape == (500, 1)
    assert abs(out.mean()) < 1e-9
    assert out.std() == pytest.approx(1.0, abs=0.01)
    columns[0, 0] = 1e9
    assert np.abs(standardise(columns)).max() == 6.0


def test_principal_components_are_uncorrelated():
    """Leading components are standardised and do not correlate; few rows have few."""
    x = World().make(200, seed=1).prompt
    axes = principal(x, 5)
    assert axes.shape == (200, 5)
    assert np.abs(np.corrcoef(axes.T) - np.eye(5)).max() < 0.1
    assert principal(x[:4], 5).shape[1] <= 3


def test_thresholds_and_clusters_are_indicators():
    """Each has two values a column; where nothing varies there are none."""
    rng = np.random.default_rng(0)
    cut = thresholds(rng.standard_normal((100, 2)))
    assert cut.shape == (100, 10)
    assert all(len(np.unique(column)) == 2 for column in cut.T)
    assert thresholds(np.zeros((50, 2))).shape == (50, 0)
    assert clusters(World().make(100, seed=1).prompt).shape[1] == 32
    assert clusters(np.zeros((100, 4), np.float32)).shape == (100, 0)


def test_fourier_features_see_more_than_means():
    """Two clouds of equal mean and different spread differ in their Fourier features."""
    rng = np.random.default_rng(0)
    both = np.vstack([rng.standard_normal((300, 2)), 3 * rng.standard_normal((300, 2))])
    waves = fourier(both)
    assert np.abs(waves[:300].mean(axis=0) - waves[300:].mean(axis=0)).max() > 0.5
    assert fourier(np.zeros((10, 0))).shape == (10, 0)


def test_same_prompts():
    """One where two prompts are the same text."""
    assert same_prompt(["a", "b", "a"]).tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]


def test_residuals_are_free_of_the_prompt():
    """What prompts explain is taken out of answers: topic hardly shows in what is left."""
    stream = World().make(200, seed=1)
    free = residual_maker(stream, extract(stream), np.arange(200), linear=2.0)
    said = standardise(stream.response.astype(float))
    left = standardise(free @ said)
    asked = stream.prompt.astype(float)

    def shared(columns: np.ndarray) -> float:
        return float(np.mean([abs(np.corrcoef(asked[:, j], columns[:, j])[0, 1]) for j in range(24)]))

    assert shared(said) > 0.6
    assert shared(left) < 0.5 * shared(said)


def test_strata_hold_both_sides():
    """Every stratum has exchanges of either side; prompts that one side alone asks are in none."""
    pooled = join(World().make(200, seed=1), World(shares=(0.2, 0.2, 0.3, 0.3, 1.0)).make(200, seed=2))
    label = np.arange(400) >= 200
    strata = propensity_strata(pooled, extract(pooled), label)
    for s in set(strata.tolist()) - {-1}:
        inside = label[strata == s]
        assert 4 <= inside.sum() <= len(inside) - 4
    assert label[strata == -1].mean() > 0.9
    few = propensity_strata(pooled, extract(pooled), np.arange(400) >= 395)
    assert set(few.tolist()) == {-1}


def test_statistics_have_a_row_an_exchange():
    """All blocks are as long as the rows asked for, and finite."""
    stream = World().make(80, seed=1)
    features, rows = extract(stream), np.arange(10, 70)
    blocks = [
        *traffic_statistics(stream, features, rows),
        *behaviour_statistics(stream, features, rows, unconditional=True),
        *service_statistics(features, rows),
    ]
    assert all(len(block.features) == 60 and np.isfinite(block.features).all() for block in blocks)
    conditional = behaviour_statistics(stream, features, rows, unconditional=False)
    assert len(conditional) < len(behaviour_statistics(stream, features, rows, unconditional=True))


def test_strata_of_equal_prompts():
    """Where all asked the same, nobody was likelier to ask it: one stratum."""
    made = World().make(60, 1)
    exchanges = [msgspec.structs.replace(e, prompt="Hello.") for e in made.exchanges]
    pooled = made._replace(exchanges=exchanges, prompt=np.repeat(made.prompt[:1], 60, axis=0))
    assert propensity_strata(pooled, extract(pooled), np.arange(60) >= 30).tolist() == [0] * 60


def test_equal_latencies_have_equal_ranks():
    """Which file an exchange stands in says nothing of how long it took."""
    made = World().make(60, 1)
    alike = made._replace(exchanges=[msgspec.structs.replace(e, latency_s=2.0) for e in made.exchanges])
    (block,) = service_statistics(extract(alike), np.arange(60))
    assert block.features.shape[1] == 0
