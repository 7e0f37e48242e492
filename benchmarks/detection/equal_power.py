"""False alarms of fixed thresholds that see a change as soon as we do.

Law: a rule's line is moved, for each change, to the strictest place at which its median delay is no longer than ours (or
than one window, where ours is shorter: no rule on windows can do better). Its false alarms there are counted on test
windows. A rule that is too late at any place has no row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from benchmarks.detection.figures import Rate, table
from benchmarks.detection.peer_tables import PHOENIX, Cut, cuts, field_answers, ours, window_delays
from benchmarks.detection.peers import CASES, EXCHANGES_A_DAY, Arrays
from benchmarks.detection.report import Kept

_RULES_THAT_LOOK = ("JS of clusters, 0.18", "new clusters, 30 %", "mean reward down 15 %", PHOENIX)


class Equal(NamedTuple):
    """A rule moved to our delay of a change, and its false alarms there."""

    rule: str
    change: str
    median: float
    false: Rate


def equal_power(arrays: Arrays, kept: Kept) -> Iterator[Equal]:
    """Yield every rule and change of which our own delay is known."""
    mine, answers = ours(kept.found), field_answers(arrays)
    for rule in _RULES_THAT_LOOK:
        for world, found in answers[rule].items():
            for change in CASES[world]:
                if mine is None or change not in mine.delays:
                    continue
                cut = cuts(arrays)[world]
                wanted = max(mine.delays[change].quantile(0.5), float(cut.size))
                line = _line(found[change], wanted, cut)
                if line is not None:
                    quiet = [score >= line for score, _ in found["test"]]
                    days = len(quiet) * cut.size / EXCHANGES_A_DAY
                    yield Equal(rule.partition(",")[0], change, wanted, Rate(sum(quiet), days))


def _line(answers: list[Any], wanted: float, cut: Cut) -> float | None:
    """Return the strictest line at which the median delay is as wanted; None where there is none."""
    scores = np.array([score for score, _ in answers])
    for line in np.unique(scores)[::-1]:
        if window_delays(scores >= line, cut).quantile(0.5) <= wanted:
            return float(line)
    return None


def write(found: list[Equal]) -> str:
    """Return the table."""
    rows = ((e.change, e.rule, f"{e.median:,.0f}", e.false) for e in found)
    return table(("change", "rule, its line moved", "median delay", "its false alarms in 30 days"), rows)


def fewer(found: list[Equal], mine: Rate) -> float | None:
    """Return which part of the rules' false alarms we spare, over all rows; None where they have none."""
    events, days = sum(e.false.events for e in found), sum(e.false.days for e in found)
    return 1.0 - mine.a_month / (events * 30.0 / days) if events else None
