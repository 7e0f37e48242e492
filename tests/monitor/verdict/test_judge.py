"""Verdicts: what cannot be known is not ok, the cause is who changed, the direction is never guessed."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest

from monitor.baseline import Baseline
from monitor.contract import Cause, Direction, Progress, Signal, Tier, Verdict
from monitor.contract.config import Detection
from monitor.evidence.findings import NOTHING, Findings
from monitor.sketch.bucket import Bucket
from monitor.sketch.features import extract
from monitor.sketch.fold import fold_rows
from monitor.verdict.judge import _direction, blind_verdict, judge, learning_verdict
from tests.monitor.synthetic import World

MODEL = Findings(drifted=True, behaviour=True, signal_level=0.001, since=6e5)
TRAFFIC = Findings(drifted=True, traffic=True, signal_level=0.001)
SERVICE = Findings(drifted=True, service=True, signal_level=0.001)
BOTH = Findings(drifted=True, traffic=True, behaviour=True, signal_level=0.001)


def window(baseline: Baseline, world: World, n: int = 600, **fields: object) -> Bucket:
    """Fold n exchanges of a world, with these fields, into one bucket."""
    stream = world.make(n, seed=4)
    stream = stream._replace(exchanges=[msgspec.structs.replace(e, **fields) for e in stream.exchanges])
    spoken = np.array([bool(e.response) for e in stream.exchanges])
    stream = stream._replace(response=np.where(spoken[:, None], stream.response, 0).astype(np.float32))
    features = extract(stream)
    return fold_rows(baseline, stream, features, baseline.encode(stream, features), np.arange(n))


def verdict(
    baseline: Baseline,
    bucket: Bucket,
    findings: Findings,
    previous: Verdict | None = None,
    detection: Detection | None = None,
) -> Verdict:
    """Judge a window."""
    settings = detection or Detection()
    return judge(baseline, bucket, findings, arm="control", settings=settings, now=7.0, previous=previous)


def summary(v: Verdict) -> tuple[Tier, Direction, Cause, bool]:
    """Return what a verdict says, without its reasons."""
    return v.tier, v.direction, v.cause, v.drifted


def test_learning():
    """Until there is a baseline the verdict is learning, and says how far it has come."""
    v = learning_verdict("support", "control", progress=Progress(have=30, need=100), now=7.0)
    assert v.tier is Tier.LEARNING
    assert v.progress is not None
    assert (v.progress.have, v.progress.need, v.progress.share) == (30, 100, 0.3)
    assert v.headline == "support: learning a baseline, 30 of 100 exchanges"


def test_learning_that_waits_for_hours_says_what_can_be_done():
    """Both parts are in the headline; once only hours are missing there is a way to have a verdict at once."""
    few = Progress(have=60, need=100, hours=17.97, need_hours=24.0)
    v = learning_verdict("support", "control", progress=few, now=7.0)
    assert v.headline == "support: learning a baseline, 60 of 100 exchanges, 17 h of 24 h"
    assert (v.reasons, few.share) == ((), 0.6)
    enough = Progress(have=100, need=100, hours=6.0, need_hours=24.0)
    v = learning_verdict("support", "control", progress=enough, now=7.0)
    assert enough.share == 0.25
    (reason,) = v.reasons
    assert "driftgate baseline create" in reason
    assert "baseline.span_hours: 0" in reason


def test_blind():
    """What cannot be judged is blind, with the reason."""
    v = blind_verdict("support", "control", why="the scorer is down", now=7.0)
    assert summary(v) == (Tier.BLIND, Direction.NEUTRAL, Cause.UNCERTAIN, False)
    assert v.headline == "support: cannot tell, the scorer is down"


def test_blind_says_what_is_known_of_a_change(reference: Baseline):
    """`drifted` is the evidence alone: nine exchanges are too few for a size, and do not undo the change."""
    v = verdict(reference, window(reference, World(), 9), MODEL)
    assert (v.tier, v.drifted, v.since) == (Tier.BLIND, True, 6e5)
    assert v.headline == (
        "default: changed, cannot tell how much, 9 scored exchanges in the window, 10 are needed to judge"
    )
    again = blind_verdict("default", "control", why="the scorer is down", now=8.0, standing=v)
    assert (again.drifted, again.since) == (True, 6e5)


def test_a_tier_is_not_held_across_baselines(reference: Baseline):
    """What was beyond a threshold of another baseline says nothing of this one."""
    bucket = window(reference, World(quality=-0.0325))
    before = verdict(reference, window(reference, World(quality=-0.1)), MODEL)
    settings = Detection(reward_error=0.0)
    assert verdict(reference, bucket, MODEL, None, settings).signals["reward"].tier is Tier.OK
    assert verdict(reference, bucket, MODEL, before, settings).signals["reward"].tier is Tier.MINOR
    other = msgspec.structs.replace(before, baseline="other")
    assert verdict(reference, bucket, MODEL, other, settings).signals["reward"].tier is Tier.OK


def test_too_few_exchanges_are_blind(reference: Baseline):
    """Forty-nine exchanges are not ok: nobody knows."""
    v = verdict(reference, window(reference, World(), 49), NOTHING)
    assert v.tier is Tier.BLIND
    assert v.n == {"baseline": 1500, "window": 49}
    assert "49 scored exchanges in the window, 50 are needed" in v.headline
    assert verdict(reference, window(reference, World(), 50), NOTHING).tier is Tier.OK


def test_standing_evidence_needs_fewer(reference: Baseline):
    """Where the change is proven already, a few exchanges put a size to it."""
    v = verdict(reference, window(reference, World(quality=-0.3), 45), MODEL)
    assert v.tier is Tier.CRITICAL


def test_no_change_is_ok(reference: Baseline):
    """More of the same: ok, no cause, no shifts, the numbers beside it."""
    v = verdict(reference, window(reference, World()), NOTHING)
    assert summary(v) == (Tier.OK, Direction.NEUTRAL, Cause.NONE, False)
    assert v.headline == "default: no drift in 600 exchanges against 1500"
    assert v.shifts == ()
    assert v.reasons == ()
    assert {"reward", "response_js", "new_clusters"} <= v.signals.keys()


def test_effects_without_evidence_are_ok(reference: Baseline):
    """A window far off is ok as long as the evidence does not stand: it may be chance."""
    v = verdict(reference, window(reference, World(quality=-0.3)), NOTHING)
    assert summary(v) == (Tier.OK, Direction.NEUTRAL, Cause.NONE, False)


def test_evidence_without_effect_is_ok_but_drifted(reference: Baseline):
    """Something changed, too little to act on: said, not raised."""
    v = verdict(reference, window(reference, World()), MODEL)
    assert summary(v) == (Tier.OK, Direction.NEUTRAL, Cause.MODEL, True)
    assert "too little to act on" in v.headline
    assert v.since == 6e5


def test_much_worse_answers(reference: Baseline):
    """Reward down by a quarter: critical, worse, the model, with the reward as the leading reason."""
    v = verdict(reference, window(reference, World(quality=-0.16)), MODEL)
    assert summary(v) == (Tier.CRITICAL, Direction.DEGRADED, Cause.MODEL, True)
    assert v.headline.startswith("default: critical, worse, the model answers differently: reward 0.6")
    assert v.reasons[0].startswith("reward 0.6")
    assert "because of the answers to comparable questions" in v.reasons[-1]


def test_somewhat_worse_answers(reference: Baseline):
    """Reward down by a tenth, by a reward model that is trusted: minor."""
    bucket = window(reference, World(quality=-0.06))
    v = verdict(reference, bucket, MODEL, detection=Detection(reward_error=0.0))
    assert summary(v) == (Tier.MINOR, Direction.DEGRADED, Cause.MODEL, True)


@pytest.mark.parametrize("quality", [-0.06, 0.1])
def test_a_change_within_the_reward_models_error_has_no_direction(reference: Baseline, quality: float):
    """What the reward model's own error could make is neither worse nor better; the reward's note says so."""
    v = verdict(
        reference, window(reference, World(quality=quality)), MODEL, None, Detection(reward_error=0.2)
    )
    assert v.direction is Direction.NEUTRAL
    assert v.signals["reward"].tier is Tier.OK
    assert v.signals["reward"].note == "no larger than the reward model's own error between models"


def test_better_answers(reference: Baseline):
    """Reward up: improved, although other signals of the answers moved as well."""
    v = verdict(reference, window(reference, World(quality=0.1)), MODEL)
    assert summary(v) == (Tier.IMPROVED, Direction.IMPROVED, Cause.MODEL, True)
    assert "better" in v.headline


def test_a_gain_that_length_explains_is_no_improvement(reference: Baseline):
    """Where the baseline's own longer answers earn as much more, longer answers are for review, not applause."""
    bucket = window(reference, World(quality=0.1, length=2.0))
    assert verdict(reference, bucket, MODEL).tier is Tier.IMPROVED
    fond = dataclasses.replace(reference, length_slope=0.07)
    v = verdict(fond, bucket, MODEL)
    assert (v.tier, v.direction) == (Tier.MINOR, Direction.NEUTRAL)


@pytest.mark.parametrize(
    ("lost", "high", "direction"),
    [
        (0.30, -0.1, Direction.NEUTRAL),
        (0.20, -0.1, Direction.IMPROVED),
        (0.30, 0.1, Direction.IMPROVED),
    ],
    ids=["lost", "within what models differ by", "within its error"],
)
def test_a_gain_of_answers_that_address_nothing_is_no_improvement(
    reference: Baseline, lost: float, high: float, direction: Direction
):
    """A reward may rise with another voice that answers other questions: not better, even before it is proven worse."""
    bucket = window(reference, World(quality=0.12))
    gained = verdict(reference, bucket, MODEL).signals["reward"]
    assert gained.tier is Tier.IMPROVED
    fit = Signal(
        value=0.0, tier=Tier.OK, baseline_mean=0.8, window_mean=0.8 * (1.0 - lost), interval=(-0.9, high)
    )
    signals = {"reward": gained, "answer_fit": fit, "length": Signal(value=0.0, tier=Tier.OK, effect=0.0)}
    assert _direction(reference, signals) is direction


def test_longer_answers_are_neither_better_nor_worse(reference: Baseline):
    """Another style is for review and has no direction."""
    v = verdict(reference, window(reference, World(length=2.0)), MODEL)
    assert summary(v) == (Tier.MINOR, Direction.NEUTRAL, Cause.MODEL, True)
    assert "length" in {shift.name for shift in v.shifts}


def test_refusals_outweigh_a_gain(reference: Baseline):
    """Refusals up by a third are critical and worse, even where the reward rose."""
    v = verdict(reference, window(reference, World(refusals=0.3, quality=0.1)), MODEL)
    assert summary(v) == (Tier.CRITICAL, Direction.DEGRADED, Cause.MODEL, True)


def test_new_topics_are_the_traffics_doing(reference: Baseline):
    """Prompts of a new topic, three in thirteen, raise the tier without blaming the model."""
    v = verdict(reference, window(reference, World(shares=(0.4, 0.3, 0.2, 0.1, 0.3))), TRAFFIC)
    assert summary(v) == (Tier.MINOR, Direction.NEUTRAL, Cause.TRAFFIC, True)
    assert v.shifts[0].kind == "new_cluster"
    much = verdict(reference, window(reference, World(shares=(0.4, 0.3, 0.2, 0.1, 1.0))), TRAFFIC)
    assert summary(much) == (Tier.CRITICAL, Direction.NEUTRAL, Cause.TRAFFIC, True)


def test_known_topics_in_other_proportions_are_nobodys_fault(reference: Baseline):
    """The mix of known topics is reported and never raised."""
    v = verdict(reference, window(reference, World(shares=(0.05, 0.05, 0.2, 0.7))), TRAFFIC)
    assert v.signals["prompt_js"].tier is not Tier.OK
    assert (v.tier, v.cause) == (Tier.OK, Cause.TRAFFIC)


def test_almost_nothing_but_new_topics(reference: Baseline):
    """Where hardly any known question is asked any more, other answers prove nothing about the model."""
    v = verdict(reference, window(reference, World(shares=(0.1, 0, 0, 0, 0.9), quality=-0.2)), BOTH)
    assert v.cause is Cause.UNCERTAIN


def test_both_changed(reference: Baseline):
    """Where known questions are answered worse, the model is named, whatever else is asked."""
    v = verdict(reference, window(reference, World(shares=(0.3, 0.3, 0.2, 0.1, 0.3), quality=-0.2)), BOTH)
    assert (v.tier, v.direction, v.cause) == (Tier.CRITICAL, Direction.DEGRADED, Cause.MODEL)


@pytest.mark.parametrize(
    "fields", [{"status": 500}, {"complete": False}, {"response": ""}, {"finish_reason": "length"}]
)
def test_broken_answers_are_data_quality(reference: Baseline, fields: dict[str, object]):
    """Errors, cut, empty and truncated answers are critical, worse, and nobody's change of mind."""
    bucket = window(reference, World(), 400).merge(window(reference, World(), 200, **fields))
    v = verdict(reference, bucket, SERVICE)
    assert summary(v) == (Tier.CRITICAL, Direction.DEGRADED, Cause.DATA_QUALITY, True)


def test_a_slower_model(reference: Baseline):
    """Latency alone is minor and worse."""
    v = verdict(reference, window(reference, World(latency_s=2.0)), SERVICE)
    assert (v.tier, v.direction) == (Tier.MINOR, Direction.DEGRADED)
    faster = verdict(reference, window(reference, World(latency_s=0.5)), SERVICE)
    assert faster.direction is Direction.NEUTRAL


def test_tiers_do_not_flutter(reference: Baseline):
    """An effect just below a threshold keeps the tier it had, and would not have reached it."""
    eased = Detection(thresholds=msgspec.structs.replace(Detection().thresholds, reward_critical=0.26))
    bucket = window(reference, World(quality=-0.15))
    assert verdict(reference, bucket, MODEL, detection=eased).tier is Tier.MINOR
    before = verdict(reference, window(reference, World(quality=-0.3)), MODEL)
    assert before.tier is Tier.CRITICAL
    assert verdict(reference, bucket, MODEL, before, eased).tier is Tier.CRITICAL


def test_caveats_say_what_cannot_be_seen(reference: Baseline):
    """Small windows and windows without answers name their limits."""
    (few,) = verdict(reference, window(reference, World(), 100), NOTHING).caveats
    assert few.startswith("100 answers: shifts below 0.39 standard deviations")
    (none,) = verdict(reference, window(reference, World(), 100, response=None), NOTHING).caveats
    assert "only changes of the prompts" in none
    assert verdict(reference, window(reference, World()), NOTHING).caveats == ()


def test_a_flood_is_neither_traffic_nor_model(reference: Baseline):
    """One prompt that fills the window explains what moved with it, and no more than that."""
    repeated = Findings(drifted=True, traffic=True, behaviour=True, repetition=True, signal_level=0.001)
    bucket = window(reference, World())
    cells = bucket.layout.fields["prompt_cells"]
    bucket.vector[cells.start : cells.stop] = bucket.vector[cells.start : cells.stop] * 7 // 10
    bucket.vector[cells.start + 5] += 180
    v = verdict(reference, bucket, repeated)
    assert v.signals["duplicates"].tier is Tier.MINOR
    assert (v.tier, v.cause) == (Tier.MINOR, Cause.DATA_QUALITY)
    assert "the same prompts again and again" in v.headline
    assert verdict(reference, bucket, BOTH).cause is not Cause.DATA_QUALITY
    moved = window(reference, World(turn=0.6, length=3.0))
    moved.vector[cells.start + 5] += 180
    assert verdict(reference, moved, repeated).cause is Cause.MODEL


@pytest.mark.parametrize(
    ("lost", "tier", "length", "direction"),
    [
        (0.30, Tier.MINOR, 0.0, Direction.DEGRADED),
        (0.20, Tier.MINOR, 0.0, Direction.NEUTRAL),
        (0.30, Tier.OK, 0.0, Direction.NEUTRAL),
        (0.30, Tier.MINOR, -1.5, Direction.NEUTRAL),
    ],
    ids=["lost", "within what models differ by", "no evidence", "much shorter"],
)
def test_answers_that_address_nothing_are_worse(
    reference: Baseline, lost: float, tier: Tier, length: float, direction: Direction
):
    """A quarter of the answer fit lost is worse, unless the answers became much shorter or nothing is proven."""
    signals = {
        "answer_fit": Signal(value=0.0, tier=tier, baseline_mean=0.8, window_mean=0.8 * (1.0 - lost)),
        "length": Signal(value=0.0, tier=Tier.OK, effect=length),
    }
    assert _direction(reference, signals) is direction


def test_other_questions_may_explain_the_answers(reference: Baseline):
    """Where the questions moved far and the answers no further than the leak lets them, no model is blamed."""
    mix = window(reference, World(shares=(0.02, 0.08, 0.2, 0.7)))
    leaky = dataclasses.replace(reference, leak=1.0)
    assert verdict(leaky, mix, BOTH).cause is Cause.TRAFFIC
    # Without evidence that the questions moved, nothing is explained by them.
    assert verdict(leaky, mix, MODEL).cause is Cause.MODEL


def test_a_changed_model_is_blamed_though_the_questions_moved(reference: Baseline):
    """Answers that moved further than other questions could move them are the model's."""
    both = window(reference, World(shares=(0.3, 0.3, 0.2, 0.2), quality=-0.6, length=2.5))
    assert verdict(dataclasses.replace(reference, leak=0.1), both, BOTH).cause is Cause.MODEL
