"""Signals measure what was changed, in the stated unit, with p-values and intervals that keep their word."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.baseline import Baseline, build_baseline
from monitor.contract import Signal
from monitor.contract.config import BaselineConfig
from monitor.sketch.bucket import Bucket
from monitor.sketch.features import extract
from monitor.sketch.fold import fold_rows
from monitor.verdict.signals import measure
from tests.monitor.synthetic import World


def window(baseline: Baseline, world: World, n: int = 500, seed: int = 1) -> Bucket:
    """Fold n exchanges of a world into one bucket."""
    stream = world.make(n, seed)
    features = extract(stream)
    return fold_rows(baseline, stream, features, baseline.encode(stream, features), np.arange(n))


def measured(baseline: Baseline, world: World, n: int = 500, seed: int = 1) -> dict[str, Signal]:
    """Measure a window of a world."""
    return measure(baseline, window(baseline, world, n, seed))


@pytest.fixture(scope="module")
def driftless() -> list[dict[str, Signal]]:
    """Measure forty driftless windows against twenty baselines."""
    found = []
    for b in range(20):
        settings = BaselineConfig(clusters=4)
        baseline = build_baseline(
            World().make(250, seed=300 + b), route="r", scorer="s", settings=settings, created=0.0
        )
        found += [measured(baseline, World(), 250, seed=400 + 2 * b + i) for i in range(2)]
    return found


NAMES = [
    "new_clusters",
    "prompt_novelty",
    "prompt_js",
    "prompt_length",
    "response_js",
    "response_given_prompt",
    "response_style",
    "reward",
    "reward_shape",
    "style_controlled_reward",
    "length",
    "hedging",
    "language",
    "unfinished",
    "latency",
]


@pytest.mark.parametrize("name", NAMES)
def test_p_values_without_change(driftless: list[dict[str, Signal]], name: str):
    """Few driftless windows have a small p-value: 5 %, give or take three standard errors of twenty baselines."""
    p = np.array([signals[name].p_value for signals in driftless], dtype=float)
    assert (p <= 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 / 20)
    assert (p <= 0.001).mean() <= 0.05


@pytest.mark.parametrize(
    "name", ["reward", "length", "hedging", "latency", "prompt_novelty", "prompt_length"]
)
def test_intervals_cover_no_effect(driftless: list[dict[str, Signal]], name: str):
    """The 95 % intervals of driftless windows cover zero about that often."""
    covers = [s[name].interval[0] <= 0 <= s[name].interval[1] for s in driftless if s[name].interval]
    assert np.mean(covers) >= 0.82


def test_the_reward_is_relative_to_its_mean(reference: Baseline):
    """A reward lower by 0.1 of 0.63 is an effect of about -16 %, whatever was asked."""
    reward = measured(reference, World(quality=-0.1), 1000)["reward"]
    assert reward.effect == pytest.approx(-0.1 / 0.63, abs=0.02)
    assert reward.baseline_mean == pytest.approx(0.63, abs=0.02)
    assert reward.window_mean == pytest.approx(0.53, abs=0.02)


def test_the_interval_covers_the_true_change(reference: Baseline):
    """Over windows, the interval of the reward effect holds the true one."""
    true = -0.1 / (reference.reference.total("reward") / 1500)
    found = [measured(reference, World(quality=-0.1), 200, seed)["reward"].interval for seed in range(30)]
    assert np.mean([low <= true <= high for low, high in found if low]) >= 0.85


def test_asking_otherwise_is_no_change_of_reward(reference: Baseline):
    """Topics that earn lower rewards lower the mean, but not the effect at equal questions."""
    reward = measured(reference, World(shares=(0.05, 0.05, 0.3, 0.6)), 1000)["reward"]
    assert reward.window_mean < reward.baseline_mean - 0.04
    assert abs(reward.effect or 0.0) < 0.02


def test_the_share_of_new_prompts(reference: Baseline):
    """A fifth of new topic is seen as about a fifth."""
    found = measured(reference, World(shares=(0.4, 0.3, 0.2, 0.1, 0.25)), 1000)["new_clusters"]
    # Two standard errors, for 1,000 prompts and 750 held-out ones of the baseline.
    assert found.effect == pytest.approx(0.2, abs=2 * np.sqrt(1 / 1000 + 1 / 750))
    assert found.interval is not None
    assert found.interval[0] <= 0.2 <= found.interval[1]


@pytest.mark.parametrize(
    ("world", "name", "sign"),
    [
        (World(length=2.0), "length", 1),
        (World(length=0.5), "length", -1),
        (World(refusals=0.2), "refusal", 1),
        (World(latency_s=2.0), "latency", 1),
        (World(latency_s=0.5), "latency", -1),
        (World(quality=0.1), "reward", 1),
        (World(quality=-0.1), "reward", -1),
    ],
)
def test_effects_are_signed(reference: Baseline, world: World, name: str, sign: int):
    """An effect points the way of the change, beyond doubt."""
    found = measured(reference, world)[name]
    assert (found.effect or 0.0) * sign > 0.2 if name != "reward" else (found.effect or 0.0) * sign > 0.1
    assert found.p_value is not None
    assert found.p_value < 1e-6


def test_values_are_in_their_unit(reference: Baseline):
    """Latency is in seconds, refusals are a share."""
    found = measured(reference, World(latency_s=2.0, refusals=0.25), 1000)
    assert found["latency"].window_mean == pytest.approx(2.0, rel=0.1)
    assert found["refusal"].window_mean == pytest.approx(0.25, abs=0.05)
    assert found["refusal"].baseline_mean == 0.0


def test_what_cannot_be_measured_is_absent(reference: Baseline):
    """A handful of exchanges has no reward signal, an empty window next to nothing."""
    assert "reward" not in measured(reference, World(), 10)
    assert measure(reference, Bucket.empty(reference.id, reference.shape)) == {}


def test_merging_windows_costs_nothing(reference: Baseline):
    """A window merged of two is measured as one."""
    one, two = window(reference, World(), 200, 1), window(reference, World(), 200, 2)
    assert measure(reference, one.merge(two)) == measure(reference, two.merge(one))
