"""An act ends when what it is there to show has been seen, and not before."""

from __future__ import annotations

from monitor.contract import Cause, Direction, Tier, Verdict
from monitor.demo.acts import ACTS, SHOP, SUPPORT
from monitor.demo.standin_model import Manner


def verdict(
    route: str, tier: Tier, cause: Cause = Cause.NONE, direction: Direction = Direction.NEUTRAL
) -> Verdict:
    """Make a verdict."""
    return Verdict(route=route, arm="control", tier=tier, time=0.0, cause=cause, direction=direction)


def both(*verdicts: Verdict) -> dict[str, Verdict]:
    """Index verdicts by their route."""
    return {each.route: each for each in verdicts}


def test_the_acts_go_from_learning_over_ok_to_critical():
    """In this order, which is the point of the demo."""
    tiers = [
        {tier for expected in act.expected if expected.route == SUPPORT for tier in expected.tiers}
        for act in ACTS
    ]
    assert tiers[:3] == [{Tier.LEARNING}, {Tier.OK}, {Tier.CRITICAL}]
    assert sum(act.within_s for act in ACTS) < 150
    assert [act.support_manner for act in ACTS] == [
        Manner.HELPFUL,
        Manner.HELPFUL,
        Manner.EVASIVE,
        Manner.EVASIVE,
    ]


def test_a_worse_model_must_be_called_that():
    """Critical for another cause, or better, or with the control in trouble too, does not count."""
    worse = ACTS[2]
    right = verdict(SUPPORT, Tier.CRITICAL, Cause.MODEL, Direction.DEGRADED)
    fine = verdict(SHOP, Tier.OK)
    assert worse.over(both(right, fine))
    assert not worse.over(both(right))
    assert not worse.over(both(right, verdict(SHOP, Tier.MINOR, Cause.MODEL)))
    assert not worse.over(both(verdict(SUPPORT, Tier.CRITICAL, Cause.TRAFFIC, Direction.DEGRADED), fine))
    assert not worse.over(both(verdict(SUPPORT, Tier.CRITICAL, Cause.MODEL, Direction.IMPROVED), fine))
    assert not worse.over(both(verdict(SUPPORT, Tier.MINOR, Cause.MODEL, Direction.DEGRADED), fine))


def test_new_questions_must_not_be_blamed_on_the_model():
    """The cause is the traffic."""
    new = ACTS[3]
    assert new.over(both(verdict(SHOP, Tier.MINOR, Cause.TRAFFIC)))
    assert new.over(both(verdict(SHOP, Tier.CRITICAL, Cause.TRAFFIC)))
    assert not new.over(both(verdict(SHOP, Tier.CRITICAL, Cause.MODEL)))


def test_expectations_are_told_in_words():
    """For the message of a demo that failed."""
    assert ACTS[2].expected[0].in_words() == "support critical, cause model"
    assert ACTS[1].expected[1].in_words() == "shop ok"
