"""The verdict of an arm at one moment, from its minutes and its evidence.

Law of this file: pure, and the one way to a verdict of what is watched, whether it happens now or is on record.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from monitor.baseline.frozen import Baseline
from monitor.contract import Verdict
from monitor.contract.config import Detection
from monitor.evidence.findings import Findings
from monitor.evidence.rescoring import ScorerChange
from monitor.sketch.hidden import hide
from monitor.verdict.judge import blind_verdict, judge
from monitor.verdict.scorer import under_changed_scorer
from monitor.verdict.signals import measure
from monitor.verdict.window import History, Window, choose, in_time, whole_minutes


class Moment(NamedTuple):
    """When it is judged: epoch seconds, and the epoch minute before which the window ends."""

    now: float
    until: int


class Present(NamedTuple):
    """A verdict, and the epoch minute from which on exchanges were looked at for it."""

    verdict: Verdict
    since: int


def judge_present(
    baseline: Baseline,
    history: History,
    findings: Findings,
    moment: Moment,
    *,
    arm: str,
    settings: Detection,
    previous: Verdict | None = None,
    changed: ScorerChange | None = None,
) -> Present:
    """Return the verdict of one arm of the baseline's route.

    `previous`: its last verdict. `changed`: what is known of a scorer that is not the baseline's any more.
    """
    window = choose(history, findings, settings, moment.until)
    if window.why:
        verdict = blind_verdict(
            baseline.route,
            arm,
            why=window.why,
            now=moment.now,
            n={"baseline": baseline.size, "window": window.bucket.n},
            baseline=baseline.id,
            standing=findings,
        )
        measured = {}
    else:
        told = hide(window.bucket, embedding=changed.embedding) if changed else window.bucket
        verdict = judge(
            baseline, told, findings, arm=arm, settings=settings, now=moment.now, previous=previous
        )
        verdict = _dated(verdict, window, settings, moment.until)
        measured = measure(baseline, window.bucket) if changed else {}
    if changed is not None:
        verdict = under_changed_scorer(verdict, changed, measured)
    return Present(verdict, window.since)


def _dated(verdict: Verdict, window: Window, settings: Detection, until: int) -> Verdict:
    """Say so where the window is longer than the configured one."""
    length = until - window.since
    if length <= whole_minutes(settings):
        return verdict
    said = f"few exchanges come: the window is their last {in_time(length)}, not {settings.window_hours:g} h"
    return msgspec.structs.replace(verdict, caveats=(*verdict.caveats, said))
