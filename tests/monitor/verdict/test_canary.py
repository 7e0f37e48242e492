"""The canary triangle in words: who is accused, who is acquitted, and what canaries may not say."""

from __future__ import annotations

import pytest

from monitor.canary.answers import DIFFERENT
from monitor.canary.course import Finding
from monitor.contract import Cause, Direction, Signal, Tier, Verdict
from monitor.verdict.canary import with_canaries

ALARM = Finding(
    model="m", alarmed=True, since=50.0, n=80, leading="length", shift=-1.2, reward=-0.2, reward_error=0.02
)
CLEAR = Finding(model="m", n=90, clear=True)
SILENT = Finding(model="m", n=12)


def verdict(tier: Tier = Tier.OK, **how) -> Verdict:
    """Make a verdict."""
    return Verdict(**{"route": "r", "arm": "control", "tier": tier, "time": 100.0, "headline": "h"} | how)


def told(before: Verdict, *found: Finding) -> Verdict:
    """Add what canaries say, with the shipped reward model's error."""
    return with_canaries(before, found, reward_error=0.06)


@pytest.mark.parametrize("tier", [Tier.OK, Tier.BLIND, Tier.IMPROVED])
def test_a_changed_model_is_minor_where_traffic_shows_nothing(tier):
    """Quiet traffic, none at all, or only its good side."""
    after = told(verdict(tier), SILENT, ALARM)
    assert (after.tier, after.cause, after.drifted, after.since) == (Tier.MINOR, Cause.MODEL, True, 50.0)
    assert after.direction is Direction.DEGRADED
    assert "length by -1.20 standard deviations" in after.headline


def test_what_traffic_says_of_the_model_is_only_supported():
    """Tier, headline and date are the traffic's."""
    before = verdict(Tier.CRITICAL, drifted=True, cause=Cause.MODEL, since=70.0)
    after = told(before, ALARM)
    assert (after.tier, after.headline, after.since) == (Tier.CRITICAL, "h", 70.0)
    assert any("canary prompts changed" in reason for reason in after.reasons)


def test_a_changed_scorer_and_a_changed_model_are_both_told():
    """The model's change leads; the scorer's stays among the reasons."""
    before = verdict(Tier.MINOR, drifted=True, cause=Cause.SCORER, reasons=("the scorer changed",))
    after = told(before, ALARM)
    assert (after.tier, after.cause) == (Tier.MINOR, Cause.MODEL)
    assert "the scorer changed" in after.reasons


@pytest.mark.parametrize(
    ("reward", "error", "direction"),
    [
        (-0.2, 0.02, Direction.DEGRADED),
        (0.2, 0.02, Direction.IMPROVED),
        (0.05, 0.001, Direction.NEUTRAL),
        (-0.2, 0.1, Direction.NEUTRAL),
        (-0.2, float("inf"), Direction.NEUTRAL),
    ],
)
def test_a_direction_needs_more_than_noise_and_the_reward_models_error(reward, error, direction):
    """Three standard errors, and what equally good models differ by."""
    found = Finding(
        model="m",
        alarmed=True,
        since=1.0,
        n=80,
        leading=DIFFERENT,
        shift=0.9,
        reward=reward,
        reward_error=error,
    )
    after = told(verdict(), found)
    assert after.direction is direction
    assert "90% of them in words never heard before" in after.headline


def test_silence_and_learning_change_nothing():
    """Too few answers acquit nobody; a route that learns is learning."""
    blamed = verdict(Tier.MINOR, drifted=True, cause=Cause.MODEL)
    assert told(blamed, SILENT) == blamed
    assert told(blamed, CLEAR, SILENT) == blamed
    assert told(blamed) == blamed
    learning = verdict(Tier.LEARNING)
    assert told(learning, ALARM) == learning
    assert told(verdict(), CLEAR) == verdict()


def test_where_nobody_could_tell_an_unchanged_model_leaves_the_traffic():
    """Most prompts are new, so traffic alone cannot speak for the model; its canaries can."""
    moved = {"new_clusters": Signal(value=0.9, tier=Tier.CRITICAL, p_value=1e-9)}
    before = verdict(Tier.CRITICAL, drifted=True, cause=Cause.UNCERTAIN, signals=moved)
    assert told(before, CLEAR).cause is Cause.TRAFFIC
    assert told(before, ALARM).cause is Cause.MODEL
    assert told(verdict(Tier.MINOR, drifted=True, cause=Cause.UNCERTAIN), CLEAR).cause is Cause.UNCERTAIN
