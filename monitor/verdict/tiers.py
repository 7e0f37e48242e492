"""From evidence and effect to a tier, one signal at a time.

Law of this file: the rules are the table `RULES`; the code only looks them up. A tier needs three things at once:
evidence that anything changed in the signal's family, evidence in the signal itself, and an effect beyond the
threshold. An effect without evidence is noise, evidence without effect is real and irrelevant: both stay `ok`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from monitor.contract import Signal, Tier
from monitor.contract.config import Thresholds
from monitor.evidence.findings import Findings

Grade = Callable[[Signal, Thresholds], Tier]


# A tier once reached is left when the effect falls below this part of its threshold.
HYSTERESIS = 0.8
# So is a signal's own evidence, when its p-value exceeds its level times this.
STICKY_LEVEL = 10.0
# How many times the reward model's own error a reward must change to have this tier; a gain is claimed less easily.
REWARD_ERRORS = {Tier.IMPROVED: 1.25, Tier.MINOR: 0.75, Tier.CRITICAL: 1.0}


# A latency that is raised has at least this ratio to the baseline's.
SLOWER = 1.2
# A share of function words that is raised is at most this part of the baseline's.
FEWER_WORDS = 6 / 7
# What the model is given to read is raised when its length has at least this ratio to the baseline's, or one to this.
LONGER = 1.5


class Rule(NamedTuple):
    """How a signal is graded, which family's evidence it needs, and which direction is bad (0: neither)."""

    family: str
    grade: Grade
    bad: int = 0


def _share(signal: Signal, t: Thresholds) -> Tier:
    effect = signal.effect or 0.0
    return _step(effect, t.new_clusters_minor, t.new_clusters_critical)


def _divergence(signal: Signal, t: Thresholds) -> Tier:
    return _step(signal.effect or 0.0, t.js_minor, t.js_critical)


def _reward(signal: Signal, t: Thresholds) -> Tier:
    effect = signal.effect or 0.0
    if effect >= t.reward_minor:
        return Tier.IMPROVED
    return _step(-effect, t.reward_minor, t.reward_critical)


def _style_controlled(signal: Signal, t: Thresholds) -> Tier:
    """Somebody should look, whichever way: what answers of the same look are worth has changed, or who scores them."""
    return Tier.MINOR if abs(signal.effect or 0.0) >= t.reward_minor else Tier.OK


def _standardised(signal: Signal, t: Thresholds) -> Tier:
    return Tier.MINOR if abs(signal.effect or 0.0) >= t.effect_minor else Tier.OK


def _fall(signal: Signal, t: Thresholds) -> Tier:
    """Falls only: a rise comes with prompts that the baseline knew already."""
    return Tier.MINOR if -(signal.effect or 0.0) >= t.effect_minor else Tier.OK


def _latency(signal: Signal, t: Thresholds) -> Tier:
    """Slower by a fifth at least: a shift of a thousandth of a second may stand out and matter to nobody."""
    slower = (signal.window_mean or 0.0) >= SLOWER * (signal.baseline_mean or 0.0)
    return _standardised(signal, t) if slower and (signal.effect or 0.0) > 0 else Tier.OK


def _prompt_length(signal: Signal, t: Thresholds) -> Tier:
    """Half as long again, or less than two thirds: other proportions of known topics alone differ by less."""
    long, short = sorted((signal.window_mean or 0.0, signal.baseline_mean or 0.0), reverse=True)
    return _standardised(signal, t) if long >= LONGER * short else Tier.OK


def _language(signal: Signal, t: Thresholds) -> Tier:
    """Raise function words fewer by a seventh, or other scripts twice as much: terse style alone moves them less."""
    after, before = signal.window_mean or 0.0, signal.baseline_mean or 0.0
    other = after <= FEWER_WORDS * before if (signal.effect or 0.0) < 0 else after >= 2.0 * before
    return _standardised(signal, t) if other else Tier.OK


def _bad_rate(signal: Signal, t: Thresholds) -> Tier:
    """Critical only when plainly bad: up by `points_critical` or more."""
    points = (signal.window_mean or 0.0) - (signal.baseline_mean or 0.0)
    if points >= t.points_critical:
        return Tier.CRITICAL
    return _standardised(signal, t) if points > 0 else Tier.OK


def _refusal(signal: Signal, t: Thresholds) -> Tier:
    """Fewer refusals are no improvement by themselves: someone should look."""
    tier = _bad_rate(signal, t)
    return _standardised(signal, t) if tier is Tier.OK else tier


def _repeated(signal: Signal, t: Thresholds) -> Tier:
    """Somebody should look, and no more: what fills the traffic says nothing of the model."""
    return Tier.MINOR if (signal.effect or 0.0) >= t.new_clusters_minor else Tier.OK


def _step(effect: float, minor: float, critical: float) -> Tier:
    if effect >= critical:
        return Tier.CRITICAL
    return Tier.MINOR if effect >= minor else Tier.OK


RULES: dict[str, Rule] = {
    "new_clusters": Rule("traffic", _share, bad=1),
    "prompt_novelty": Rule("traffic", _standardised),
    "prompt_js": Rule("traffic", _divergence),
    "prompt_length": Rule("traffic", _prompt_length),
    "response_js": Rule("behaviour", _divergence),
    "response_given_prompt": Rule("behaviour", _standardised),
    "answer_fit": Rule("behaviour", _fall),
    "response_style": Rule("behaviour", _standardised),
    "reward": Rule("behaviour", _reward, bad=-1),
    "style_controlled_reward": Rule("behaviour", _style_controlled),
    "reward_shape": Rule("behaviour", _divergence),
    "length": Rule("behaviour", _standardised),
    "lists": Rule("behaviour", _standardised),
    "code": Rule("behaviour", _standardised),
    "markdown": Rule("behaviour", _standardised),
    "passive_voice": Rule("behaviour", _standardised),
    "hedging": Rule("behaviour", _standardised),
    "language": Rule("behaviour", _language),
    "repetition": Rule("behaviour", _standardised),
    "unfinished": Rule("behaviour", _standardised),
    "refusal": Rule("behaviour", _refusal, bad=1),
    "truncation": Rule("service", _bad_rate, bad=1),
    "empty": Rule("service", _bad_rate, bad=1),
    "incomplete": Rule("service", _bad_rate, bad=1),
    "errors": Rule("service", _bad_rate, bad=1),
    "latency": Rule("service", _latency, bad=1),
    "duplicates": Rule("repetition", _repeated),
    "flood": Rule("repetition", _repeated),
}
# A shift of the mix among known topics, or a divergence without a sign, is not bad by itself.
_UNSIGNED_CRITICAL = frozenset({"response_js", "reward_shape"})
# Known topics asked in other proportions are no fault of anybody: reported, never raised.
NEVER_RAISED = frozenset({"prompt_js"})


def grade(
    signals: dict[str, Signal],
    findings: Findings,
    thresholds: Thresholds,
    before: Mapping[str, Tier],
    *,
    reward_error: float = 0.0,
) -> dict[str, Signal]:
    """Return the signals with their tiers; `before` holds the last ones, which are left less easily than entered.

    `reward_error` is the reward model's error between models in the unit of the reward signal's effect.
    """
    graded = {
        name: _graded(name, signal, findings, thresholds, before.get(name, Tier.OK))
        for name, signal in signals.items()
    }
    reward = graded.get("reward")
    if reward is not None:
        graded["reward"] = reward = _doubted(reward, reward_error)
    worse = reward is not None and reward.tier in {Tier.MINOR, Tier.CRITICAL}
    return {
        name: msgspec.structs.replace(signal, tier=Tier.MINOR)
        if name in _UNSIGNED_CRITICAL and signal.tier is Tier.CRITICAL and not worse
        else signal
        for name, signal in graded.items()
    }


def _doubted(reward: Signal, error: float) -> Signal:
    """Withhold the tier of a reward change that the reward model's own error between models could make."""
    errors = abs(reward.effect or 0.0) / error if error else float("inf")
    if errors >= REWARD_ERRORS.get(reward.tier, 0.0):
        return reward
    note = "no larger than the reward model's own error between models"
    tier = Tier.MINOR if reward.tier is Tier.CRITICAL and errors >= REWARD_ERRORS[Tier.MINOR] else Tier.OK
    return msgspec.structs.replace(reward, tier=tier, note=note)


def _eased(thresholds: Thresholds, before: Tier) -> Thresholds:
    """Lower the thresholds that the last tier had passed (hysteresis)."""
    passed = [
        level
        for level, tier in (("minor", Tier.MINOR), ("critical", Tier.CRITICAL))
        if before.concern >= tier.concern
    ]
    return msgspec.structs.replace(
        thresholds,
        **{
            name: HYSTERESIS * getattr(thresholds, name)
            for name in thresholds.__struct_fields__
            if name.rpartition("_")[2] in passed
        },
    )


def _graded(name: str, signal: Signal, findings: Findings, thresholds: Thresholds, before: Tier) -> Signal:
    rule = RULES[name]
    level = findings.signal_level * (STICKY_LEVEL if before.concern else 1.0)
    shown = signal.p_value is not None and signal.p_value <= level
    if not (findings.drifted and getattr(findings, rule.family) and shown):
        return signal
    return msgspec.structs.replace(signal, tier=rule.grade(signal, _eased(thresholds, before)))
