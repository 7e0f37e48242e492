"""What a verdict still says when the scorer is not the one that the baseline was scored with.

Law of this file: pure. What the scorer gives is `blind`, signal by signal, and never speaks for or against the model.
What the texts themselves show goes on being judged, and where it raises a tier of its own it keeps it. Otherwise the
verdict is about the scorer: `minor` where only rewards are lost (someone should look, the rest was judged), `blind` where
embeddings are, because then hardly anything about the answers is known.
"""

from __future__ import annotations

import msgspec

from monitor.contract import Cause, Direction, Signal, Tier, Verdict
from monitor.evidence.rescoring import ScorerChange
from monitor.sketch.hidden import EMBEDDED_NAMES, REWARD_NAMES
from monitor.verdict.headline import headline, reasons_for

REWARD_SIGNALS = frozenset({"reward", "reward_shape", "style_controlled_reward"})
# Signals that need no scorer: they count words, statuses and seconds.
FROM_TEXT = frozenset(
    {
        "prompt_length",
        "response_style",
        "length",
        "lists",
        "code",
        "markdown",
        "passive_voice",
        "hedging",
        "language",
        "repetition",
        "unfinished",
        "refusal",
        "truncation",
        "empty",
        "incomplete",
        "errors",
        "latency",
    }
)
_REMEDY = "make a new baseline (`driftgate baseline create`)"


def hidden_names(change: ScorerChange) -> frozenset[str]:
    """Return the names that evidence must not be taken from."""
    return EMBEDDED_NAMES | REWARD_NAMES if change.embedding else REWARD_NAMES


def hidden_signals(change: ScorerChange, names: frozenset[str]) -> frozenset[str]:
    """Return which of these signals cannot be told."""
    return names - FROM_TEXT if change.embedding else names & REWARD_SIGNALS


def under_changed_scorer(verdict: Verdict, change: ScorerChange, measured: dict[str, Signal]) -> Verdict:
    """Return what is left of a verdict that was made with the scorer's part hidden.

    `measured` holds the signals as they look with it: their numbers are shown, and no more.
    """
    hidden = hidden_signals(change, frozenset(measured) | frozenset(verdict.signals))
    said = f"the scorer changed: {change.said}; {_REMEDY}"
    signals = {name: signal for name, signal in verdict.signals.items() if name not in hidden}
    signals |= {name: _blinded(signal) for name, signal in measured.items() if name in hidden}
    changed = msgspec.structs.replace(verdict, signals=signals, attribution=None)
    if verdict.drifted and verdict.tier in {Tier.MINOR, Tier.CRITICAL}:
        return _about_the_rest(changed, said)
    blind = change.embedding or verdict.tier is Tier.BLIND
    return msgspec.structs.replace(
        changed,
        tier=Tier.BLIND if blind else Tier.MINOR,
        drifted=verdict.drifted or not blind,
        direction=Direction.NEUTRAL,
        cause=Cause.SCORER,
        headline=f"{verdict.route}: {'cannot tell' if blind else Tier.MINOR}, {said}",
        reasons=(said, *(verdict.reasons if verdict.tier is Tier.BLIND else ())),
        shifts=(),
    )


def _about_the_rest(verdict: Verdict, said: str) -> Verdict:
    reasons = reasons_for(msgspec.structs.replace(verdict, signals=_told(verdict.signals)), None)
    shown = msgspec.structs.replace(verdict, signals=_told(verdict.signals))
    return msgspec.structs.replace(
        verdict, headline=headline(shown), reasons=(*reasons, said), caveats=(*verdict.caveats, said)
    )


def _told(signals: dict[str, Signal]) -> dict[str, Signal]:
    return {name: signal for name, signal in signals.items() if signal.tier is not Tier.BLIND}


def _blinded(signal: Signal) -> Signal:
    return msgspec.structs.replace(
        signal,
        tier=Tier.BLIND,
        p_value=None,
        effect=None,
        interval=None,
        note="the scorer changed: not comparable",
    )
