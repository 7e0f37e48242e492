"""A change of reward is divided between the questions and the answers, and the parts add up."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.baseline import Baseline
from monitor.contract import Attribution
from monitor.sketch.bucket import Bucket
from monitor.sketch.features import extract
from monitor.sketch.fold import fold_rows
from monitor.verdict.attribution import attribute
from tests.monitor.synthetic import World

MIXED = (0.05, 0.05, 0.3, 0.6)


def window(baseline: Baseline, world: World, n: int = 1000, seed: int = 1) -> Bucket:
    """Fold n exchanges of a world into one bucket."""
    stream = world.make(n, seed)
    features = extract(stream)
    return fold_rows(baseline, stream, features, baseline.encode(stream, features), np.arange(n))


def attributed(baseline: Baseline, world: World, n: int = 1000, seed: int = 1) -> Attribution:
    """Attribute the reward change of a world; it must be possible."""
    found = attribute(baseline, window(baseline, world, n, seed))
    assert found is not None
    return found


@pytest.mark.parametrize(
    "world",
    [
        World(),
        World(shares=MIXED),
        World(quality=-0.1),
        World(shares=(*MIXED, 0.5), quality=0.05, refusals=0.1),
    ],
)
def test_the_parts_add_up(reference: Baseline, world: World):
    """Mix, behaviour and the unsupported rest are the whole change, whatever happened."""
    bucket = window(reference, world)
    found = attribute(reference, bucket)
    assert found is not None
    known = reference.reference
    whole = bucket.total("reward") / bucket.count("rewarded") - known.total("reward") / known.count(
        "rewarded"
    )
    assert found.mix + found.behaviour + found.unsupported == pytest.approx(whole, abs=1e-9)


def test_other_questions_are_mix(reference: Baseline):
    """Topics of lower reward: the mean falls by 0.07, all of it mix, none of it behaviour."""
    found = attributed(reference, World(shares=MIXED))
    assert found.mix == pytest.approx(-0.07, abs=0.02)
    assert abs(found.behaviour) < 0.012
    low, high = found.intervals["mix"]
    assert low <= found.mix <= high < 0


def test_other_answers_are_behaviour(reference: Baseline):
    """The same questions answered 0.1 worse: all of it behaviour, none of it mix."""
    found = attributed(reference, World(quality=-0.1))
    assert found.behaviour == pytest.approx(-0.1, abs=0.02)
    assert abs(found.mix) < 0.012
    assert found.intervals["behaviour"][1] < 0


def test_both_at_once_are_told_apart(reference: Baseline):
    """Better answers to questions of lower reward: two parts of opposite sign."""
    found = attributed(reference, World(shares=MIXED, quality=0.1))
    assert found.mix == pytest.approx(-0.07, abs=0.025)
    assert found.behaviour == pytest.approx(0.1, abs=0.02)


def test_nothing_is_claimed_about_new_topics(reference: Baseline):
    """Bad answers to a topic without comparison are unsupported, not behaviour."""
    old, new = World().make(500, seed=1), World(shares=(0, 0, 0, 0, 1), quality=-0.4).make(500, seed=2)
    buckets = []
    for stream in (old, new):
        features = extract(stream)
        buckets.append(
            fold_rows(reference, stream, features, reference.encode(stream, features), np.arange(500))
        )
    found = attribute(reference, buckets[0].merge(buckets[1]))
    assert found is not None
    assert found.unsupported < -0.15
    assert abs(found.behaviour) < 0.05


def test_intervals_cover(reference: Baseline):
    """The intervals of a driftless window cover zero about as often as they say."""
    found = [attributed(reference, World(), 200, seed) for seed in range(40)]
    for part in ("mix", "behaviour"):
        covers = [a.intervals[part][0] <= 0 <= a.intervals[part][1] for a in found]
        assert np.mean(covers) >= 0.85


def test_too_few_rewards_to_attribute(reference: Baseline):
    """Ten exchanges are not divided."""
    assert attribute(reference, window(reference, World(), 10)) is None
