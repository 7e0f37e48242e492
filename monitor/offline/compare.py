"""Comparing two sets of exchanges, once: the verdict of `driftgate compare`.

The evidence is the exact two-sample test at one level for all signals; effects, tiers, cause and words are those of
the live monitor. Rewards that a file brings are compared only where one scorer gave them: equal texts with other rewards
show that it changed, and then the rewards say nothing of the model.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.baseline import Baseline, build_baseline
from monitor.contract import Cause, Verdict
from monitor.contract.config import BaselineConfig, Detection
from monitor.evidence.findings import Findings
from monitor.evidence.pairs import FEWEST_PAIRS, Pairs, given_by_files, symmetric_p, two_sources
from monitor.evidence.repetition import COUNTERS, fills
from monitor.evidence.rescoring import ScorerChange
from monitor.evidence.twosample import TwoSample, compare_samples, family_level
from monitor.offline.anomalous import with_anomalies
from monitor.offline.labels import LEVEL, compare_labels, labelled, with_labels
from monitor.sketch.bucket import Bucket
from monitor.sketch.features import extract
from monitor.sketch.fold import fold_rows
from monitor.sketch.hidden import hide
from monitor.sketch.scored import Scored
from monitor.verdict.judge import judge
from monitor.verdict.scorer import under_changed_scorer
from monitor.verdict.signals import measure

Floats = NDArray[np.float64]

_MIXED = "one side's rewards come from its file and the other's from the scorer: rewards are not compared"

# Fewest exchanges in the window to judge at all when looking once.
FEWEST = 20


def compare(
    baseline: Scored,
    window: Scored,
    *,
    scorer: str,
    alpha: float,
    learning: BaselineConfig,
    detection: Detection,
    now: float,
) -> Verdict:
    """Return the verdict on `window` against `baseline`. Raises BaselineError when the baseline is too thin.

    Where both sides carry labels these are judged as well, at a part of the level.
    """
    told = labelled(baseline.exchanges, window.exchanges)
    verdict = _of_exchanges(
        baseline,
        window,
        scorer=scorer,
        alpha=alpha * (1 - LEVEL) if told else alpha,
        learning=learning,
        detection=detection,
        now=now,
    )
    if not told:
        return verdict
    moved = verdict.drifted and verdict.cause is not Cause.SCORER
    labels = compare_labels(baseline, window, alpha=alpha * LEVEL, settings=detection, texts_moved=moved)
    return with_labels(verdict, labels)


def _of_exchanges(
    baseline: Scored,
    window: Scored,
    *,
    scorer: str,
    alpha: float,
    learning: BaselineConfig,
    detection: Detection,
    now: float,
) -> Verdict:
    """Return the verdict on the texts and rewards."""
    route = window.exchanges[0].route if window.exchanges else "default"
    reference = build_baseline(baseline, route=route, scorer=scorer, settings=learning, created=now)
    features = extract(window)
    encoded = reference.encode(window, features)
    bucket = fold_rows(reference, window, features, encoded, np.arange(len(window.exchanges)))
    error = 0.0 if given_by_files(baseline, window) else detection.reward_error
    settings = msgspec.structs.replace(
        detection, min_window=min(detection.min_window, FEWEST), reward_error=error
    )
    arm = window.exchanges[0].arm if window.exchanges else "control"
    mixed, (pairs, level) = two_sources(baseline, window), _paired(baseline, window, alpha)
    changed = None if mixed else _scorer_change(pairs, level)
    if changed is None and not mixed:
        found = _or_repeated(findings_of(compare_samples(baseline, window), alpha - level), reference, bucket)
        verdict = judge(reference, bucket, found, arm=arm, settings=settings, now=now)
        return with_anomalies(verdict, reference, window)
    found = findings_of(compare_samples(_unrewarded(baseline), _unrewarded(window)), alpha - level)
    found = _or_repeated(found, reference, bucket)
    told = hide(bucket, embedding=False)
    verdict = judge(reference, told, found, arm=arm, settings=settings, now=now)
    if changed is None:
        return msgspec.structs.replace(verdict, caveats=(*verdict.caveats, _MIXED))
    return under_changed_scorer(verdict, changed, measure(reference, bucket))


def _or_repeated(found: Findings, reference: Baseline, bucket: Bucket) -> Findings:
    """Add to the findings whether one prompt, or one user, fills the window."""
    signals = measure(reference, bucket)
    repetition = fills({name: signals[name].p_value for name in COUNTERS if name in signals})
    return replace(found, repetition=repetition, drifted=found.drifted or repetition)


class Paired(NamedTuple):
    """Rewards (k, 2) of texts that both sides have, in units of `scale`, and the level of their test."""

    rewards: Floats
    scale: float


def _paired(baseline: Scored, window: Scored, alpha: float) -> tuple[Paired, float]:
    """Return the pairs and the level of their test: a tenth of `alpha` where there is anything to test."""
    known = Pairs(baseline)
    rewards = known.match(window, range(len(window.exchanges)))
    differ = int((rewards[:, 0] != rewards[:, 1]).sum())
    return Paired(rewards, known.scale), 0.1 * alpha if differ >= FEWEST_PAIRS else 0.0


def _scorer_change(pairs: Paired, level: float) -> ScorerChange | None:
    if not level or symmetric_p(*pairs) > level:
        return None
    before, after = pairs.rewards.mean(axis=0)
    said = (
        f"{len(pairs.rewards)} exchanges with the same prompt and response on both sides carry other rewards "
        f"(mean {before:.3f}, then {after:.3f})"
    )
    return ScorerChange(reward=True, embedding=False, said=said)


def _unrewarded(scored: Scored) -> Scored:
    return scored._replace(reward=np.full_like(scored.reward, np.nan))


def findings_of(tested: TwoSample, alpha: float) -> Findings:
    """Return what a two-sample test at level `alpha` says."""
    shows = {name: p <= family_level(name, tested.families, alpha) for name, p in tested.families.items()}
    return Findings(
        drifted=tested.p_value <= alpha,
        traffic=shows.get("traffic", False),
        behaviour=shows.get("behaviour", False) or shows.get("reward", False),
        service=shows.get("service", False),
        signal_level=alpha,
    )
