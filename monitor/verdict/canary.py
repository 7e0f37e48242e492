"""What canaries add to a verdict: the model's change where traffic shows none, and its innocence where traffic accuses it.

Three things can move what is measured (the canary triangle): stored answers scored again move only with the scorer;
fixed prompts answered afresh move with the model; what is left is the traffic. Canaries are a few prompts, though, and
not the users': their silence acquits the model only of a change that reaches them.

Law of this file: pure. Canaries raise a verdict to `minor` at most; how bad it is for users, users' traffic says.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from monitor.canary.answers import DIFFERENT
from monitor.canary.course import Finding
from monitor.contract import Cause, Direction, Tier, Verdict
from monitor.evidence.edetector import SIGNAL_LEVEL

_PROMPTS = ("new_clusters", "prompt_novelty", "prompt_js")
# A canary reward must change by this many standard errors to give a direction.
_SURELY = 3.0


def with_canaries(verdict: Verdict, found: Sequence[Finding], *, reward_error: float) -> Verdict:
    """Return the verdict with what the canaries of its route say.

    `reward_error`: by how much rewards of equally good models differ, in reward units.
    """
    if verdict.tier is Tier.LEARNING:
        return verdict
    for one in found:
        if one.alarmed:
            return _accused(verdict, one, reward_error)
    clear = [one for one in found if one.clear]
    blamed = verdict.drifted and verdict.cause in {Cause.MODEL, Cause.UNCERTAIN}
    if blamed and clear and len(clear) == len(found):
        return _acquitted(verdict, sum(one.n for one in clear))
    return verdict


def _accused(verdict: Verdict, found: Finding, reward_error: float) -> Verdict:
    how = (
        f"{found.shift:.0%} of them in words never heard before"
        if found.leading == DIFFERENT
        else f"{found.leading.replace('_', ' ')} by {found.shift:+.2f} standard deviations"
    )
    said = f"answers of {found.model} to the fixed canary prompts changed: {how}"
    if verdict.drifted and verdict.cause is Cause.MODEL:
        return msgspec.structs.replace(verdict, reasons=(*verdict.reasons, said))
    silent = verdict.tier in {Tier.OK, Tier.BLIND, Tier.IMPROVED}
    raised = silent or verdict.cause is Cause.SCORER
    direction = verdict.direction
    if direction is Direction.NEUTRAL and abs(found.reward) > max(_SURELY * found.reward_error, reward_error):
        direction = Direction.DEGRADED if found.reward < 0 else Direction.IMPROVED
    return msgspec.structs.replace(
        verdict,
        tier=Tier.MINOR if raised else verdict.tier,
        drifted=True,
        cause=Cause.MODEL,
        direction=direction,
        since=verdict.since or found.since,
        headline=f"{verdict.route}: {Tier.MINOR}, the model answers differently: {said}"
        if raised
        else verdict.headline,
        reasons=(said, *verdict.reasons),
    )


def _acquitted(verdict: Verdict, answers: int) -> Verdict:
    """Take the blame off the model: traffic where the prompts moved, too, uncertain where they did not."""
    cause = Cause.TRAFFIC if _prompts_moved(verdict) else Cause.UNCERTAIN
    said = f"the model's answers to the fixed canary prompts are as they were ({answers} since then): " + (
        "users ask for other things"
        if cause is Cause.TRAFFIC
        else "it changed on other questions only, if at all"
    )
    return msgspec.structs.replace(verdict, cause=cause, reasons=(said, *verdict.reasons))


def _prompts_moved(verdict: Verdict) -> bool:
    signals = (verdict.signals.get(name) for name in _PROMPTS)
    return any(
        signal is not None and (signal.tier.concern > 0 or (signal.p_value or 1.0) <= SIGNAL_LEVEL)
        for signal in signals
    )
