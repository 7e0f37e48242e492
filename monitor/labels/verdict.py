"""The verdict on labels: evidence, size and cause in one value.

Law of this file: pure. As for exchanges a tier needs evidence and size: shares of right labels are graded by the
thresholds that rewards have (5 and 15 points), shifts of labels by those of new clusters. Labels that moved because
something else is labelled now are no fault of those who label: reported, never raised.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from monitor.contract import Direction, LabelCause, Labels, Signal, Tier
from monitor.contract.config import Thresholds
from monitor.labels.cause import Diagnosis, diagnose, onset
from monitor.labels.judgement import Event, Kind, Scheme
from monitor.labels.measures import Side, measure
from monitor.labels.panel import Panel, kind_wealth

# Fewest judgements to speak of labels at all.
FEWEST = 20
# What a signal must show by itself to be raised.
_LEVEL = 0.01
_ALPHA_MINOR = 0.1


class Found(NamedTuple):
    """What the evidence says: whether labels moved, by which comparisons, since when (epoch seconds)."""

    drifted: bool
    kinds: frozenset[Kind] = frozenset()
    p_value: float | None = None
    since: float | None = None
    # The labels of the same items moved; None: not asked.
    same_items: bool = False


class Rule(NamedTuple):
    """The comparison that a signal is of, and the sign of its effect that is bad (0: neither)."""

    kind: Kind
    bad: int = -1


RULES: dict[str, Rule] = {
    "gold_accuracy": Rule("gold"),
    "peer_agreement": Rule("peer"),
    "self_consistency": Rule("self"),
    "reward_agreement": Rule("reward"),
    "label_shift": Rule("label", 0),
    "annotator_agreement": Rule("peer"),
}

_WORDS = {
    LabelCause.ANNOTATOR: "one annotator judges differently",
    LabelCause.GUIDELINE: "everybody judges differently: the guideline moved",
    LabelCause.TASK: "something else is labelled now; the same things are judged as before",
    LabelCause.SCORER: "people agree among themselves as before, and less with the reward model",
    LabelCause.UNCERTAIN: "labels moved, and nothing here tells why",
    LabelCause.NONE: "labels as before",
}


def found_live(panel: Panel, alarm: float, events: Sequence[Event]) -> Found:
    """Return what a panel's evidence says, given the newest events.

    A kind shows a change where it holds a fair part of the alarm.
    """
    if not panel.alarmed:
        return Found(drifted=False)
    wealth = kind_wealth(panel)
    enough = min(alarm - 1.0, max(wealth.values()))
    kinds = frozenset(kind for kind, w in wealth.items() if w >= enough)
    since = onset(panel, events)
    return Found(drifted=True, kinds=kinds, since=panel.since if since is None else since)


def label_verdict(
    scheme: Scheme | None,
    before: Side,
    after: Side,
    found: Found,
    *,
    thresholds: Thresholds,
    texts_moved: bool = False,
) -> Labels:
    """Return the verdict on the labels `after`, compared with those `before`.

    `texts_moved`: the verdict on the exchanges says that what is labelled has changed.
    """
    n = _sizes(before, after)
    if scheme is None or n["baseline"] < FEWEST:
        need = f"{n['baseline'] + n['window']} judgements so far: too few to say what is usual"
        return Labels(tier=Tier.LEARNING, n=n, headline=f"labels: {need}", reasons=(need,))
    if n["window"] < FEWEST and not found.drifted:
        few = f"{n['window']} judgements in the window, {FEWEST} are needed"
        return Labels(
            tier=Tier.BLIND, cause=LabelCause.UNCERTAIN, n=n, headline=f"labels: {few}", reasons=(few,)
        )
    seen = diagnose(before, after, found.kinds, same_items=found.same_items, texts_moved=texts_moved)
    signals = {
        name: msgspec.structs.replace(signal, tier=_tier(name, signal, found, thresholds))
        for name, signal in measure(scheme, before, after).items()
    }
    if seen.cause is LabelCause.TASK:
        signals = {name: msgspec.structs.replace(s, tier=Tier.OK) for name, s in signals.items()}
    draft = Labels(
        tier=_overall(signals),
        drifted=found.drifted,
        direction=_direction(signals),
        cause=seen.cause,
        n=n,
        since=found.since if found.drifted else None,
        p_value=found.p_value,
        caveats=_caveats(n),
        signals=signals,
        annotators=seen.annotators,
    )
    return msgspec.structs.replace(draft, headline=_headline(draft), reasons=_reasons(draft, seen))


def _sizes(before: Side, after: Side) -> dict[str, int]:
    later = after.of("label")
    return {
        "baseline": len(before.of("label")),
        "window": len(later),
        "annotators": len({event.annotator for event in later if event.annotator}),
        "gold": len(after.of("gold")),
    }


def _tier(name: str, signal: Signal, found: Found, t: Thresholds) -> Tier:
    shown = signal.p_value is not None and signal.p_value <= _LEVEL
    if not (found.drifted and shown and signal.effect is not None):
        return Tier.OK
    if name == "label_shift":
        limit = t.effect_minor if "standard deviations" in signal.note else t.new_clusters_minor
        return Tier.MINOR if abs(signal.effect) >= limit else Tier.OK
    if name == "annotator_agreement":
        return Tier.MINOR if -signal.effect >= _ALPHA_MINOR else Tier.OK
    if signal.effect >= t.reward_minor:
        return Tier.IMPROVED
    if name == "gold_accuracy" and -signal.effect >= t.reward_critical:
        return Tier.CRITICAL
    return Tier.MINOR if -signal.effect >= t.reward_minor else Tier.OK


def _overall(signals: dict[str, Signal]) -> Tier:
    worst = max((s.tier for s in signals.values()), key=lambda tier: tier.concern, default=Tier.OK)
    gold = signals.get("gold_accuracy")
    if worst is Tier.IMPROVED and (gold is None or gold.tier is not Tier.IMPROVED):
        return Tier.MINOR  # more agreement alone is a change, not a gain
    return worst


def _direction(signals: dict[str, Signal]) -> Direction:
    """Gold labels alone know better from worse."""
    gold = signals.get("gold_accuracy")
    if gold is None or not gold.tier.concern:
        return Direction.NEUTRAL
    return Direction.IMPROVED if gold.tier is Tier.IMPROVED else Direction.DEGRADED


def _headline(verdict: Labels) -> str:
    if not verdict.drifted:
        return f"labels: no evidence of change in {verdict.n['window']} judgements"
    text = f"labels: {_words(verdict)}"
    moved = [row for row in verdict.annotators if row.moved]
    if verdict.cause is LabelCause.ANNOTATOR and moved:
        row = moved[0]
        before = "" if row.baseline is None else f", {row.baseline:.0%} before"
        right = "right" if row.against == "gold" else "with the others"
        text += f" ({row.name}: {right} in {row.window:.0%} of {row.n}{before})"
    return text


def _words(verdict: Labels) -> str:
    new = verdict.annotators and all(row.baseline is None for row in verdict.annotators)
    if verdict.cause is LabelCause.ANNOTATOR and (new or not verdict.annotators):
        return "other annotators judge now, and differently"
    return _WORDS[verdict.cause]


def _reasons(verdict: Labels, seen: Diagnosis) -> tuple[str, ...]:
    if not verdict.drifted:
        return ()
    words = [_words(verdict)]
    for name, signal in sorted(verdict.signals.items(), key=lambda pair: -pair[1].tier.concern):
        if signal.tier.concern and signal.baseline_mean is not None and signal.window_mean is not None:
            note = f" ({signal.note})" if name == "label_shift" else ""
            words.append(
                f"{name.replace('_', ' ')} {signal.baseline_mean:.2f} → {signal.window_mean:.2f}{note}"
            )
    if seen.cell:
        words.append(f"gold>label that rose most: {seen.cell}")
    return tuple(words)


def _caveats(n: dict[str, int]) -> tuple[str, ...]:
    found = []
    if not n["gold"]:
        found.append("no gold labels: whether labels got better or worse cannot be told")
    if not n["annotators"]:
        found.append("annotators are not named: one cannot be told from all")
    return tuple(found)
