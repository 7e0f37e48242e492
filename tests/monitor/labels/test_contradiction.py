"""A gain is only claimed where people's labels do not say otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.contract import Direction, LabelCause, Labels, Signal, Tier, Verdict
from monitor.labels.contradiction import borne_out, speaks_against_a_gain
from monitor.labels.judgement import Event, Scheme
from monitor.labels.measures import Side, measure


def shift(note: str, p: float) -> dict[str, Signal]:
    """Return a shift of the labels."""
    return {"label_shift": Signal(value=0.2, tier=Tier.OK, p_value=p, effect=-0.2, note=note)}


def improved(labels: Labels | None, tier: Tier = Tier.IMPROVED) -> Verdict:
    """Return a verdict that claims a gain, beside labels."""
    return Verdict(
        route="r",
        arm="control",
        tier=tier,
        time=1.0,
        drifted=True,
        direction=Direction.IMPROVED,
        headline="r: improved",
        reasons=("reward 0.1 → 0.3",),
        labels=labels,
    )


AGAINST: list[dict[str, Any]] = [
    {"cause": LabelCause.TASK, "signals": shift("mean label, in standard deviations, lower", 1e-6)},
    {"cause": LabelCause.UNCERTAIN, "signals": shift("share of bad, lower", 0.01)},
    {"cause": LabelCause.SCORER},
    {"cause": LabelCause.ANNOTATOR, "direction": Direction.DEGRADED},
]


@pytest.mark.parametrize("fields", AGAINST)
def test_a_gain_that_labels_contradict_is_to_be_looked_at(fields: dict[str, Any]):
    """Minor, neither better nor worse, and the first reason says who disagrees."""
    labels = Labels(tier=Tier.OK, drifted=True, **fields)
    found = borne_out(improved(labels))
    assert (found.tier, found.direction) == (Tier.MINOR, Direction.NEUTRAL)
    assert found.headline == f"r: minor, the reward rose, but {speaks_against_a_gain(labels)}"
    assert found.reasons == (f"the reward rose, but {speaks_against_a_gain(labels)}", "reward 0.1 → 0.3")


@pytest.mark.parametrize(
    "labels",
    [
        None,
        Labels(tier=Tier.OK),
        Labels(tier=Tier.OK, drifted=True, signals=shift("share of good, higher", 1e-6)),
        Labels(tier=Tier.OK, drifted=True, signals=shift("share of bad, lower", 0.2)),
        Labels(tier=Tier.OK, drifted=False, direction=Direction.DEGRADED, cause=LabelCause.SCORER),
        Labels(tier=Tier.IMPROVED, drifted=True, direction=Direction.IMPROVED),
    ],
)
def test_a_gain_that_nobody_contradicts_stands(labels: Labels | None):
    """Without labels, without evidence about them, or with labels that say the same."""
    assert borne_out(improved(labels)) == improved(labels)


def test_other_tiers_keep_theirs():
    """What is critical beside a gain stays so; what claims no gain is left alone."""
    labels = Labels(tier=Tier.OK, drifted=True, cause=LabelCause.SCORER)
    critical = improved(labels, Tier.CRITICAL)
    found = borne_out(critical)
    assert (found.tier, found.headline, found.direction) == (
        Tier.CRITICAL,
        critical.headline,
        Direction.NEUTRAL,
    )
    assert found.reasons[1:] == critical.reasons
    plain = Verdict(route="r", arm="control", tier=Tier.MINOR, time=1.0, labels=labels)
    assert borne_out(plain) == plain


@pytest.mark.parametrize(
    ("before", "after", "ends"),
    [
        (["good", "bad"], ["bad", "bad", "good"], ", lower"),
        (["1", "2", "3"], ["2", "3", "3"], ", higher"),
        (["a", "b"], ["b", "b", "a"], ""),
    ],
)
def test_which_way_labels_moved_is_said_where_it_is_known(before: list[str], after: list[str], ends: str):
    """Numbers and words such as `good` have an order; other classes have none."""
    sides = [
        Side([Event(0.0, "p", "label", "", label, wrong=False) for label in 20 * side])
        for side in (before, after)
    ]
    note = measure(Scheme.learn(20 * before), *sides)["label_shift"].note
    assert note.endswith(ends)
    assert ("lower" in note or "higher" in note) is bool(ends)
