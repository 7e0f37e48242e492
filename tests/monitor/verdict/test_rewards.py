"""Reward changes are told in the unit that people act on."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from monitor.baseline import Baseline
from monitor.sketch.bucket import Bucket
from monitor.sketch.layout import RESPONSE_SCORES, SCALE
from monitor.verdict.rewards import reward_scale, style_controlled

CONTROLLED = RESPONSE_SCORES.index("style-controlled reward")


def lower(baseline: Baseline, by: float) -> Bucket:
    """Return the baseline's own exchanges with what is left of their rewards lower by so many of its deviations."""
    own = baseline.reference
    vector = own.vector.copy()
    n = own.count("rewarded") - int(own.total("unsupported"))
    vector[own.layout.fields["response_scores"].start + CONTROLLED] -= round(SCALE * by * n)
    return Bucket(own.baseline, own.shape, vector)


def test_a_fall_at_equal_answers_is_told_as_a_part_of_the_reward(reference: Baseline):
    """Half of the spread that style leaves over, as a share of the reward's scale; its error knows both sides."""
    found = style_controlled(reference, lower(reference, 0.5))
    assert found is not None
    m = reference.reference.count("rewarded")
    mean = reference.reference.total("reward") / m
    spread = float(np.sqrt(reference.reference.total("reward_sq") / m - mean**2))
    expected = -0.5 * reference.controlled.spread * spread / reward_scale(reference)
    change, error = found
    assert change == pytest.approx(expected, rel=1e-3)
    assert 0.0 < error < abs(expected)


def test_where_nothing_was_learnt_nothing_is_said(reference: Baseline):
    """A baseline with too few rewards has no opinion."""
    nothing = dataclasses.replace(reference, controlled=reference.controlled._replace(spread=0.0))
    assert style_controlled(nothing, lower(reference, 0.5)) is None
    assert style_controlled(reference, Bucket.empty(reference.id, reference.shape)) is None
