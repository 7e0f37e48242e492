"""The verdict in words: one sentence for the person on call, and one for each reason."""

from __future__ import annotations

from math import floor

from monitor.contract import Attribution, Cause, Direction, Progress, Signal, Tier, Verdict

_CAUSES = {
    Cause.TRAFFIC: "users ask for other things",
    Cause.MODEL: "the model answers differently",
    Cause.DATA_QUALITY: "the data are at fault",
    Cause.SCORER: "the scorer changed",
    Cause.UNCERTAIN: "cause uncertain",
    Cause.NONE: "",
}
_DIRECTIONS = {
    Direction.DEGRADED: "worse",
    Direction.IMPROVED: "better",
    Direction.NEUTRAL: "neither better nor worse",
}
_NAMES = {
    "new_clusters": "prompts unlike any in the baseline",
    "prompt_novelty": "distance of prompts from the baseline",
    "prompt_js": "mix of known topics",
    "prompt_length": "what the model is given to read",
    "response_js": "mix of response topics",
    "response_given_prompt": "answers to the same questions",
    "answer_fit": "answers that address their prompts",
    "response_style": "style of the answers",
    "reward": "reward",
    "style_controlled_reward": "reward of answers that look alike",
    "reward_shape": "distribution of rewards",
    "passive_voice": "passive voice",
    "language": "language of the answers:",
    "unfinished": "answers that stop midway",
    "refusal": "refusals",
    "empty": "empty answers",
    "incomplete": "answers cut short",
    "duplicates": "the same prompts again and again:",
    "flood": "one user's share:",
}


def in_words(progress: Progress) -> str:
    """Say how far learning has come."""
    said = f"{progress.have} of {progress.need} exchanges"
    if not progress.need_hours:
        return said
    # Never rounded up: the last hour is not over before it is.
    return f"{said}, {floor(progress.hours)} h of {progress.need_hours:g} h"


def headline(verdict: Verdict) -> str:
    """Return one clear sentence."""
    if not verdict.drifted:
        return f"{verdict.route}: no drift in {verdict.n['window']} exchanges against {verdict.n['baseline']}"
    if verdict.tier is Tier.OK:
        return f"{verdict.route}: changed, but too little to act on ({_CAUSES[verdict.cause]})"
    top = _leading(verdict)
    shown = f": {_sentence(*top)}" if top else ""
    return (
        f"{verdict.route}: {verdict.tier}, {_DIRECTIONS[verdict.direction]}, {_CAUSES[verdict.cause]}{shown}"
    )


def reasons_for(verdict: Verdict, attribution: Attribution | None) -> tuple[str, ...]:
    """Return a sentence for each signal beyond its threshold, worst first, and how the reward change divides."""
    reasons = [_sentence(name, signal) for name, signal in _raised(verdict)]
    if attribution is not None and verdict.drifted and "reward" in verdict.signals:
        reasons.append(
            f"reward changed by {attribution.mix:+.3f} because of the questions, {attribution.behaviour:+.3f} because of "
            f"the answers to comparable questions, {attribution.unsupported:+.3f} on questions without comparison"
        )
    return tuple(reasons)


def _raised(verdict: Verdict) -> list[tuple[str, Signal]]:
    raised = [(name, s) for name, s in verdict.signals.items() if s.tier is not Tier.OK]
    return sorted(raised, key=lambda item: (-item[1].tier.concern, item[1].p_value or 0.0))


def _leading(verdict: Verdict) -> tuple[str, Signal] | None:
    raised = _raised(verdict)
    if verdict.tier is Tier.IMPROVED:
        raised = [item for item in raised if item[1].tier is Tier.IMPROVED] or raised
    return raised[0] if raised else None


def _sentence(name: str, signal: Signal) -> str:
    title = _NAMES.get(name, name.replace("_", " "))
    note = f" ({signal.note})" if signal.note else ""
    if signal.unit.startswith("share of"):
        before, after = signal.baseline_mean or 0.0, signal.window_mean or 0.0
        return (
            f"{title} {_percent(before)} → {_percent(after)} of {signal.unit.removeprefix('share of ')}{note}"
        )
    if name == "reward":
        return f"reward {signal.baseline_mean:.3f} → {signal.window_mean:.3f} ({_percent(signal.effect or 0.0, sign=True)} at equal questions)"
    if signal.unit == "relative change":
        return f"{title} {_percent(signal.effect or 0.0, sign=True)}{note}"
    if signal.unit == "bits":
        return f"{title}: divergence {signal.value:.3f}, by chance {signal.null_mean or 0.0:.3f}"
    if signal.baseline_mean is not None and signal.window_mean is not None:
        return f"{title} {signal.baseline_mean:.3g} → {signal.window_mean:.3g} {signal.unit}{note}"
    return f"{title} moved by {signal.effect or 0.0:+.2f} standard deviations{note}"


def _percent(share: float, *, sign: bool = False) -> str:
    return f"{100 * share:{'+' if sign else ''}.1f} %"
