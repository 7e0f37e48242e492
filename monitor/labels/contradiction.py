"""A gain that people do not see: `improved` stands only as long as nobody's labels speak against it.

Law of this file: pure. A reward model says that answers became better; the people who label them are asked, not
outvoted. What they contradict is a change to be looked at (`minor`), neither better nor worse.
"""

from __future__ import annotations

import msgspec

from monitor.contract import Direction, LabelCause, Labels, Signal, Tier, Verdict
from monitor.labels.measures import LOWER

# What the shift of the labels must show by itself.
_LEVEL = 0.01


def speaks_against_a_gain(labels: Labels) -> str:
    """Say in words how labels contradict that answers became better; empty where they do not."""
    if not labels.drifted:
        return ""
    shift = labels.signals.get("label_shift")
    if shift is not None and shift.note.endswith(LOWER) and _shown(shift):
        return "people rate the answers lower"
    if labels.cause is LabelCause.SCORER:
        return "people agree less with the reward model than before"
    if labels.direction is Direction.DEGRADED:
        return "people's labels are right less often than before"
    return ""


def _shown(signal: Signal) -> bool:
    return signal.p_value is not None and signal.p_value <= _LEVEL


def borne_out(verdict: Verdict) -> Verdict:
    """Return a verdict whose gain, if it claims one, its labels do not contradict.

    A verdict that was raised for something else keeps its tier and its headline; the contradiction is one more reason.
    """
    claims = verdict.tier is Tier.IMPROVED or verdict.direction is Direction.IMPROVED
    why = speaks_against_a_gain(verdict.labels) if claims and verdict.labels is not None else ""
    if not why:
        return verdict
    said = f"the reward rose, but {why}"
    told = msgspec.structs.replace(verdict, direction=Direction.NEUTRAL, reasons=(said, *verdict.reasons))
    if verdict.tier is not Tier.IMPROVED:
        return told
    headline = f"{verdict.route}: {Tier.MINOR}, {said}"
    return msgspec.structs.replace(told, tier=Tier.MINOR, headline=headline)
