"""From folded exchanges to what is offered for review: who is unusual, why, and with what chance it is shown.

Law of this file: pure. Of each (route, arm) and hour at most `per_hour` exchanges and the threshold are offered; the
store keeps the largest of all that were offered, so that the outcome is that of one draw over the whole hour.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from monitor.baseline.frozen import Baseline, Encoded
from monitor.baseline.ordinary import Unusual
from monitor.baseline.single import judge_single, reasons_of
from monitor.contract import Exchange, Tier, Verdict
from monitor.review.sampling import Draw, draw, keep
from monitor.sketch.features import Features
from monitor.sketch.fold import SUPPORT
from monitor.sketch.scored import Scored

HOUR_S = 3600.0
Key = tuple[str, str]


class Candidate(NamedTuple):
    """An exchange that may be shown: its draw, the p-value of its anomaly, and what is unusual about it."""

    exchange: Exchange
    drawn: Draw
    p_value: float
    reasons: tuple[str, ...]
    reward: float | None


class Offer(NamedTuple):
    """What some exchanges of one (route, arm) and epoch hour offer: how many they were, the best, the next priority."""

    route: str
    arm: str
    hour: int
    seen: int
    candidates: tuple[Candidate, ...]
    threshold: float
    per_hour: int


class Focus(NamedTuple):
    """The part of the traffic that a verdict is about."""

    prompt_clusters: frozenset[int] = frozenset()
    response_clusters: frozenset[int] = frozenset()
    novel: bool = False


NOWHERE = Focus()


def focus_of(verdict: Verdict | None, baseline: Baseline) -> Focus:
    """Return what a minor or critical verdict is about, as far as it names clusters; nothing otherwise."""
    if verdict is None or verdict.baseline != baseline.id or verdict.tier not in {Tier.MINOR, Tier.CRITICAL}:
        return NOWHERE
    grown = [shift for shift in verdict.shifts if shift.window > shift.baseline]
    named = {
        kind: frozenset(
            k
            for k, terms in enumerate(side.terms)
            for shift in grown
            if shift.kind == kind and shift.terms == terms
        )
        for kind, side in (("prompt_cluster", baseline.prompt), ("response_cluster", baseline.response))
    }
    novel = any(shift.kind == "new_cluster" for shift in grown)
    return Focus(named["prompt_cluster"], named["response_cluster"], novel)


def offers(
    baseline: Baseline,
    scored: Scored,
    seen: tuple[Features, Encoded],
    *,
    per_hour: int,
    verdicts: Mapping[Key, Verdict],
) -> list[Offer]:
    """Return what scored exchanges, seen through a baseline, offer for review."""
    features, encoded = seen
    groups: dict[tuple[str, str, int], list[int]] = defaultdict(list)
    for row in np.flatnonzero(features.prompted).tolist():
        e = scored.exchanges[row]
        groups[e.route, e.arm, int(e.time // HOUR_S)].append(row)
    if not groups or per_hour < 1:
        return []
    unusual = judge_single(baseline, scored, features, encoded)
    found = []
    for (route, arm, hour), rows in groups.items():
        focus = focus_of(verdicts.get((route, arm)), baseline)
        draws = [
            draw(scored.exchanges[row].id, float(unusual.p_value[row]), focused=_in(focus, encoded, row))
            for row in rows
        ]
        kept = keep((drawn.priority for drawn in draws), per_hour)
        best = tuple(_candidate(scored, unusual, rows[place], draws[place]) for place in kept.places)
        found.append(Offer(route, arm, hour, len(rows), best, kept.threshold, per_hour))
    return found


def _in(focus: Focus, encoded: Encoded, row: int) -> bool:
    return (
        int(encoded.prompts.cluster[row]) in focus.prompt_clusters
        or int(encoded.responses.cluster[row]) in focus.response_clusters
        or (focus.novel and float(encoded.prompts.novelty[row]) > SUPPORT)
    )


def _candidate(scored: Scored, unusual: Unusual, row: int, drawn: Draw) -> Candidate:
    reward = float(scored.reward[row])
    return Candidate(
        scored.exchanges[row],
        drawn,
        float(unusual.p_value[row]),
        reasons_of(unusual, row),
        None if np.isnan(reward) else reward,
    )
