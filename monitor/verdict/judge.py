"""Judging: from a baseline, a window and the evidence to a verdict.

Law of this file: pure. What cannot be known is `learning` or `blind`, never `ok`. The cause is who changed (the
askers, the model, the service); the direction is whether that is for the worse; neither is claimed without evidence.
"""

from __future__ import annotations

import msgspec
import numpy as np

from monitor.baseline.frozen import Baseline
from monitor.contract import Cause, Direction, Progress, Signal, Tier, Verdict
from monitor.contract.config import Detection
from monitor.evidence.findings import NOTHING, Findings
from monitor.sketch.bucket import Bucket
from monitor.verdict.attribution import attribute
from monitor.verdict.headline import headline, in_words, reasons_for
from monitor.verdict.rewards import reward_scale
from monitor.verdict.shifts import explain
from monitor.verdict.signals import measure
from monitor.verdict.tiers import NEVER_RAISED, RULES, grade
from monitor.verdict.window import fewest, scored

_SERVICE = ("errors", "incomplete", "empty", "truncation")
_REPETITION = ("duplicates", "flood")
# Most that one exchange can move a normal score (see `normal_scores`), so that a share f moves its mean by f times this.
_LARGEST_SCORE = 2.5
# An answer fit that falls by this share is worse, whatever the reward says.
_LOST_FIT = 0.25
_ONLY_HOURS = (
    "hours that the baseline has not seen would look like drift; for a verdict at once make one with"
    " `driftgate baseline create`, or set `baseline.span_hours: 0`"
)
# Beyond this share of new prompts the rest is too small a part of the traffic to speak for the model.
_MOSTLY_NEW = 0.7


def judge(
    baseline: Baseline,
    window: Bucket,
    findings: Findings,
    *,
    arm: str,
    settings: Detection,
    now: float,
    previous: Verdict | None = None,
) -> Verdict:
    """Return the verdict of one arm of the baseline's route on a window of its exchanges.

    `previous` is its last verdict: on one baseline a tier is left less easily than it is entered.
    """
    route = baseline.route
    n = {"baseline": baseline.size, "window": window.n}
    told, needed = scored(window), fewest(findings, settings)
    if told < needed:
        why = f"{told} scored exchanges in the window, {needed} are needed to judge"
        return blind_verdict(route, arm, why=why, now=now, n=n, baseline=baseline.id, standing=findings)
    left = previous.signals if previous is not None and previous.baseline == baseline.id else {}
    before = {name: signal.tier for name, signal in left.items()}
    measured = measure(baseline, window)
    error = settings.reward_error / reward_scale(baseline) if "reward" in measured else 0.0
    signals = grade(measured, findings, settings.thresholds, before, reward_error=error)
    attribution = attribute(baseline, window)
    cause = _cause(findings, signals, explained=_explained_by_questions(baseline, window, signals))
    direction = _direction(baseline, signals)
    tier = _overall(signals, direction)
    draft = Verdict(
        route=route,
        arm=arm,
        tier=tier,
        time=now,
        drifted=findings.drifted,
        direction=direction,
        cause=cause,
        n=n,
        since=findings.since if findings.drifted else None,
        baseline=baseline.id,
        caveats=(*baseline.notes, *_caveats(window)),
        signals=signals,
        attribution=attribution,
        shifts=explain(baseline, window) if findings.drifted else (),
    )
    return msgspec.structs.replace(draft, headline=headline(draft), reasons=reasons_for(draft, attribution))


def learning_verdict(route: str, arm: str, *, progress: Progress, now: float) -> Verdict:
    """Return the verdict of a route whose baseline is still being learnt."""
    return Verdict(
        route=route,
        arm=arm,
        tier=Tier.LEARNING,
        time=now,
        n={"baseline": 0, "window": progress.have},
        headline=f"{route}: learning a baseline, {in_words(progress)}",
        reasons=(_ONLY_HOURS,) if progress.have >= progress.need and progress.need_hours else (),
        progress=progress,
    )


def blind_verdict(
    route: str,
    arm: str,
    *,
    why: str,
    now: float,
    n: dict[str, int] | None = None,
    baseline: str | None = None,
    cause: Cause = Cause.UNCERTAIN,
    standing: Findings | Verdict = NOTHING,
) -> Verdict:
    """Return the verdict of a route that cannot be judged, and why; evidence that is `standing` goes on to be told."""
    since, told = standing.since, "changed, cannot tell how much" if standing.drifted else "cannot tell"
    return Verdict(
        route=route,
        arm=arm,
        tier=Tier.BLIND,
        time=now,
        drifted=standing.drifted,
        cause=cause,
        n=n or {},
        since=since if standing.drifted else None,
        baseline=baseline,
        headline=f"{route}: {told}, {why}",
        reasons=(why,),
    )


def _cause(findings: Findings, signals: dict[str, Signal], *, explained: bool) -> Cause:
    """Name who changed. The response given its prompt speaks before the mix of prompts does.

    `explained`: the questions have moved so far that the answers need not have changed by themselves.
    """
    if not findings.drifted:
        return Cause.NONE
    broken = findings.service and any(signals[name].tier.concern >= 2 for name in _SERVICE if name in signals)
    if broken or _explained_by_repetition(signals):
        return Cause.DATA_QUALITY
    if findings.behaviour and findings.traffic and _new(signals) > _MOSTLY_NEW:
        return Cause.UNCERTAIN
    if findings.behaviour and not (findings.traffic and explained):
        return Cause.MODEL
    if findings.traffic:
        return Cause.TRAFFIC
    return Cause.UNCERTAIN


def _explained_by_questions(baseline: Baseline, window: Bucket, signals: dict[str, Signal]) -> bool:
    """Tell whether other questions alone may have moved the answers as far as they moved."""
    # As the signals are: beside what the baseline had at these hours.
    reference = baseline.matched(window).reference
    n, m = window.count("prompts"), reference.count("prompts")
    moved = signals.get("response_given_prompt")
    if moved is None or not n or not m:
        return False
    asked = window.read("prompt_scores") / n - reference.read("prompt_scores") / m
    return _least(moved) <= baseline.leak * float(np.abs(asked).max())


def _explained_by_repetition(signals: dict[str, Signal]) -> bool:
    """Tell whether one prompt or user that fills the traffic is enough to have moved everything else as far as it did.

    A share f of the exchanges moves the mean of a normal score by `_LARGEST_SCORE` times f at most, and makes no more
    than f of the prompts new; what moved further moved for another reason.
    """
    raised = [signals[name] for name in _REPETITION if name in signals and signals[name].tier.concern]
    share = max((signal.value for signal in raised), default=0.0)
    if not share:
        return False
    bounds = {
        "new_clusters": share,
        **dict.fromkeys(("prompt_novelty", "response_given_prompt"), share * _LARGEST_SCORE),
    }
    return all(_least(signals[name]) <= most for name, most in bounds.items() if name in signals)


def _least(signal: Signal) -> float:
    """Return the smallest size of an effect that its interval allows."""
    low, high = signal.interval or (0.0, 0.0)
    return max(low, -high, 0.0)


def _new(signals: dict[str, Signal]) -> float:
    return signals["new_clusters"].value if "new_clusters" in signals else 0.0


def _direction(baseline: Baseline, signals: dict[str, Signal]) -> Direction:
    """Worse when reward fell or anything plainly bad rose; better when reward rose by more than length explains."""
    raised = {name: s for name, s in signals.items() if s.tier.concern >= 2 and RULES[name].bad}
    if any(_is_bad(name, signal) for name, signal in raised.items() if name != "new_clusters"):
        return Direction.DEGRADED
    if _address_nothing(signals):
        return Direction.DEGRADED
    reward = signals.get("reward")
    if reward is None or reward.tier is not Tier.IMPROVED or "new_clusters" in raised:
        return Direction.NEUTRAL
    # A reward that rises while answers turn away from their prompts is praised for something else.
    if _fit_is_lost(signals) or _only_length(baseline, signals):
        return Direction.NEUTRAL
    return Direction.IMPROVED


def _address_nothing(signals: dict[str, Signal]) -> bool:
    """Tell whether many answers might as well belong to other prompts, and not because they became so short.

    Good models differ by an eighth of the fit at most, in either direction (`benchmarks/detection/contrast.py`).
    """
    fit, length = signals.get("answer_fit"), signals.get("length")
    if fit is None or fit.tier is Tier.OK or length is None or (length.effect or 0.0) < -1.0:
        return False
    return _fit_is_lost(signals)


def _fit_is_lost(signals: dict[str, Signal]) -> bool:
    """Tell whether answers address their prompts much less than the baseline's, by more than their error."""
    fit = signals.get("answer_fit")
    if fit is None or (fit.interval is not None and fit.interval[1] >= 0.0):
        return False
    return (fit.window_mean or 0.0) < (1.0 - _LOST_FIT) * (fit.baseline_mean or 0.0)


def _is_bad(name: str, signal: Signal) -> bool:
    return (signal.effect or 0.0) * RULES[name].bad > 0


def _only_length(baseline: Baseline, signals: dict[str, Signal]) -> bool:
    """Tell whether the baseline's own slope of reward on length explains the whole gain."""
    reward, length = signals["reward"], signals.get("length")
    if length is None or length.effect is None or reward.effect is None or reward.interval is None:
        return False
    error = (reward.interval[1] - reward.interval[0]) / 3.92
    explained = baseline.length_slope * length.effect / reward_scale(baseline)
    return reward.effect - explained < 1.96 * error


def _overall(signals: dict[str, Signal], direction: Direction) -> Tier:
    """Return the worst tier; what is real but not worse, beside a real improvement, is the improvement."""
    raised = {name: s.tier for name, s in signals.items() if name not in NEVER_RAISED}
    worst = max(raised.values(), key=lambda tier: tier.concern, default=Tier.OK)
    if worst is Tier.CRITICAL:
        return worst
    if direction is Direction.IMPROVED:
        return Tier.IMPROVED
    return Tier.MINOR if worst is Tier.IMPROVED else worst


def _caveats(window: Bucket) -> tuple[str, ...]:
    """Say what so few exchanges cannot show."""
    n, caveats = window.count("answers"), []
    if 0 < n < 400:
        # Smallest shift found with power 0.9 at level 0.01, two-sided (normal approximation), and share of traffic.
        smallest = 3.86 / n**0.5
        caveats.append(
            f"{n} answers: shifts below {smallest:.2f} standard deviations are likely to stay unseen"
        )
    if not n:
        caveats.append("no answers in the window: only changes of the prompts can be seen")
    return tuple(caveats)
