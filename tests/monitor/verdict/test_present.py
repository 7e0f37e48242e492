"""The verdict of an arm at one moment."""

from __future__ import annotations

import numpy as np

from monitor.baseline import Baseline
from monitor.contract import Cause, Tier
from monitor.contract.config import Detection
from monitor.evidence.findings import NOTHING, Findings
from monitor.evidence.rescoring import ScorerChange
from monitor.offline.backtest import Recent
from monitor.sketch.features import extract
from monitor.sketch.fold import fold_rows
from monitor.verdict.present import Moment, Present, judge_present
from tests.monitor.synthetic import World

MODEL = Findings(drifted=True, behaviour=True, signal_level=0.001, since=60.0)
NOBODY = ScorerChange(reward=True, embedding=True, said="64 of 64 get other embeddings")


def present(
    baseline: Baseline, n: int, gap: int, findings: Findings, changed: ScorerChange | None = None
) -> Present:
    """Judge n bad exchanges, `gap` minutes apart, in the minute of the last one."""
    scored, minutes = World(quality=-0.2).make(n, seed=3), Recent(baseline, Detection())
    features = extract(scored)
    encoded = baseline.encode(scored, features)
    for row in range(n):
        minutes.add((row + 1) * gap, fold_rows(baseline, scored, features, encoded, np.array([row])))
    until = n * gap + 1
    return judge_present(
        baseline,
        minutes,
        findings,
        Moment(60.0 * until, until),
        arm="control",
        settings=Detection(),
        changed=changed,
    )


def test_sparse_traffic_is_judged_and_says_how_far_back(reference: Baseline):
    """An hour would hold six; the verdict is about all since the change, and says so."""
    found = present(reference, 120, 10, MODEL)
    assert (found.verdict.tier, found.verdict.drifted, found.verdict.n["window"]) == (
        Tier.CRITICAL,
        True,
        120,
    )
    assert "few exchanges come: the window is their last 19.9 h, not 1 h" in found.verdict.caveats
    assert found.since == 10


def test_dense_traffic_has_no_such_caveat(reference: Baseline):
    """An hour's window is what was asked for."""
    found = present(reference, 120, 1, NOTHING)
    assert (found.verdict.n["window"], found.verdict.drifted) == (60, False)
    assert not any("few exchanges" in caveat for caveat in found.verdict.caveats)


def test_blind_keeps_what_is_known(reference: Baseline):
    """Nine exchanges put no size to a change, whether the scorer changed or not; that there is one stays said."""
    found = present(reference, 9, 10, MODEL).verdict
    assert (found.tier, found.drifted, found.since, found.baseline) == (Tier.BLIND, True, 60.0, reference.id)
    assert found.headline == (
        "default: changed, cannot tell how much, 9 scored exchanges in the last 7 days, 10 are needed to judge"
    )
    other = present(reference, 9, 10, MODEL, NOBODY).verdict
    assert (other.tier, other.drifted, other.cause) == (Tier.BLIND, True, Cause.SCORER)
    quiet = present(reference, 9, 10, NOTHING).verdict
    assert (quiet.tier, quiet.drifted, quiet.since) == (Tier.BLIND, False, None)
