"""The smallest change seen within a day is about what the detector itself needs a day for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from monitor.evidence.edetector import Detector
from monitor.evidence.power import smallest_seen
from monitor.sketch.bucket import Bucket
from monitor.sketch.layout import RESPONSE_SCORES, SCALE

PER_DAY = 2000


def hours_to_alarm(reference, shift, seed):
    """Let one response score move by so many deviations; return the hours to the alarm, 72 at most."""
    detector, rng = Detector(reference, 1.0), np.random.default_rng(seed)
    evidence = detector.start()
    layout, place = reference.reference.layout, RESPONSE_SCORES.index("reward")
    n = PER_DAY // 24
    field = layout.fields["response_scores"]
    for hour in range(72):
        vector = np.zeros(layout.size, dtype=np.int64)
        for name in ("exchanges", "supported", "rewarded"):
            layout.add(vector, name, n)
        moved = n * shift + np.sqrt(n) * rng.standard_normal()
        vector[field.start + place] = round(SCALE * moved)
        delta = Bucket(reference.id, reference.shape, vector)
        evidence = detector.advance(evidence, delta, minutes=60.0, now=3600.0 * hour)
        if evidence.alarmed:
            return hour + 1
    return 72


def test_the_reward_shift_of_a_day_takes_about_a_day(reference):
    """The median of 20 streams lies between a third of a day and a day and a half: luck, and other bets, help."""
    part = reference.reference.count("supported") / reference.reference.n
    shift = smallest_seen(Detector(reference, 1.0), reference, PER_DAY / part)["reward"]
    assert 8 <= np.median([hours_to_alarm(reference, shift, seed) for seed in range(20)]) <= 36
    assert np.median([hours_to_alarm(reference, 0.4 * shift, seed) for seed in range(20)]) > 48


def test_more_traffic_and_a_larger_budget_see_more(reference):
    """Every name of the detector has a smallest change, and it shrinks with traffic and budget."""
    few = smallest_seen(Detector(reference, 1.0), reference, 500.0)
    many = smallest_seen(Detector(reference, 1.0), reference, 5000.0)
    loose = smallest_seen(Detector(reference, 10.0), reference, 500.0)
    assert {process.name for process in Detector(reference, 1.0).processes} >= set(many) == set(few)
    assert {"reward", "novel_98", "errors"} <= set(many)
    for name, value in few.items():
        assert many[name] < value
        assert loose[name] < value


def test_without_traffic_nothing_is_seen(reference):
    """No exchanges, no change."""
    assert smallest_seen(Detector(reference, 1.0), reference, 0.0) == {}


@pytest.mark.parametrize("name", ["errors", "refused"])
def test_rates_are_given_above_the_baselines_own(reference, name):
    """A rise, never below what the baseline's own uncertainty allows."""
    seen = smallest_seen(Detector(reference, 1.0), reference, 1e9)[name]
    assert 0.0 < seen < 0.05


def test_fewer_rewards_see_less_and_cost_the_rest_nothing(reference):
    """With a reward on a tenth of the answers, a day's rewards are a tenth, and so is what the baseline knows of them."""
    own = reference.reference
    vector = own.vector.copy()
    for name in ("rewarded", "unsupported"):
        vector[own.layout.fields[name].start] //= 10
    some = dataclasses.replace(reference, reference=Bucket(own.baseline, own.shape, vector))
    few = smallest_seen(Detector(some, 1.0), some, PER_DAY)
    all_of_them = smallest_seen(Detector(reference, 1.0), reference, PER_DAY)
    tenth = smallest_seen(Detector(some, 1.0), reference, PER_DAY / 10)
    assert few["reward"] > 2 * all_of_them["reward"]
    assert few["reward"] == pytest.approx(tenth["reward"], rel=0.05)
    assert few["response length"] == pytest.approx(all_of_them["response length"])
