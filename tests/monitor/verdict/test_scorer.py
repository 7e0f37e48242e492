"""What a verdict says when the scorer changed."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.contract import Cause, Direction, Tier
from monitor.contract.config import Detection
from monitor.evidence.findings import Findings
from monitor.evidence.rescoring import ScorerChange
from monitor.sketch.features import extract
from monitor.sketch.fold import fold_rows
from monitor.sketch.hidden import hide
from monitor.verdict.judge import judge
from monitor.verdict.scorer import FROM_TEXT, under_changed_scorer
from monitor.verdict.signals import measure
from tests.monitor.synthetic import World

REWARD = ScorerChange(reward=True, embedding=False, said="64 of 64 stored exchanges get other rewards")
BOTH = ScorerChange(reward=True, embedding=True, said="64 of 64 get other embeddings")
QUIET = Findings(signal_level=0.001)


def verdict_on(reference, world, change, findings, n=400):
    """Judge a window of a world as under this change."""
    scored = world.make(n, seed=5)
    features = extract(scored)
    window = fold_rows(reference, scored, features, reference.encode(scored, features), np.arange(n))
    told = hide(window, embedding=change.embedding)
    verdict = judge(reference, told, findings, arm="control", settings=Detection(), now=1.0)
    return under_changed_scorer(verdict, change, measure(reference, window))


def test_a_changed_reward_model_is_minor_and_nobody_elses_fault(reference):
    """The reward fell by a quarter, the model is as it was: the verdict is about the scorer."""
    verdict = verdict_on(reference, World(quality=-0.16), REWARD, QUIET)
    assert (verdict.tier, verdict.drifted, verdict.cause, verdict.direction) == (
        Tier.MINOR,
        True,
        Cause.SCORER,
        Direction.NEUTRAL,
    )
    reward = verdict.signals["reward"]
    assert (reward.tier, reward.effect, reward.p_value, reward.interval) == (Tier.BLIND, None, None, None)
    assert reward.window_mean < reward.baseline_mean
    assert verdict.attribution is None
    assert "the scorer changed" in verdict.headline
    assert "driftgate baseline create" in verdict.headline


def test_a_changed_embedder_is_blind(reference):
    """Nothing about the answers can be told; what is counted in texts is still shown."""
    verdict = verdict_on(reference, World(), BOTH, QUIET)
    assert (verdict.tier, verdict.drifted, verdict.cause) == (Tier.BLIND, False, Cause.SCORER)
    assert {name for name, signal in verdict.signals.items() if signal.tier is not Tier.BLIND} <= FROM_TEXT
    assert verdict.signals["refusal"].tier is Tier.OK


@pytest.mark.parametrize("change", [REWARD, BOTH], ids=["reward", "embedder"])
def test_what_the_texts_show_keeps_its_tier(reference, change):
    """Refusals at 40 % are critical whoever scores; the changed scorer is said beside it."""
    findings = Findings(drifted=True, behaviour=True, service=True, signal_level=0.001)
    verdict = verdict_on(reference, World(refusals=0.4), change, findings)
    assert (verdict.tier, verdict.cause, verdict.direction) == (
        Tier.CRITICAL,
        Cause.MODEL,
        Direction.DEGRADED,
    )
    assert any("the scorer changed" in caveat for caveat in verdict.caveats)
    assert "refusals" in verdict.headline
    assert not any(reason.startswith("reward") for reason in verdict.reasons)


def test_too_few_exchanges_stay_blind(reference):
    """Both reasons are given."""
    verdict = verdict_on(reference, World(), REWARD, QUIET, n=20)
    assert (verdict.tier, verdict.cause, verdict.drifted) == (Tier.BLIND, Cause.SCORER, False)
    assert len(verdict.reasons) == 2


def test_evidence_of_texts_stands_under_a_changed_scorer(reference):
    """Blind for the scorer's sake, and a change that the texts alone have shown is still a change."""
    found = Findings(drifted=True, behaviour=True, since=5.0, signal_level=0.001)
    verdict = verdict_on(reference, World(length=1.02), BOTH, found)
    assert (verdict.tier, verdict.drifted, verdict.since, verdict.cause) == (
        Tier.BLIND,
        True,
        5.0,
        Cause.SCORER,
    )
