"""Running a recorded stream through the very pipeline at full speed: the result of `driftgate backtest`.

The stream is cut into minutes; after each one the evidence takes a step and the verdict is looked at, as the live
monitor would have done. Streams without times are taken at a stated rate.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import reduce

import msgspec
import numpy as np

from monitor.baseline import Baseline
from monitor.contract import Cause, Direction, Exchange, Tier, Verdict
from monitor.contract.config import Detection
from monitor.evidence.edetector import Detector, Evidence
from monitor.evidence.findings import Findings
from monitor.sketch.bucket import Bucket
from monitor.sketch.features import extract
from monitor.sketch.fold import fold_rows
from monitor.sketch.scored import Scored
from monitor.verdict.judge import fewest, judge, window_starts

# Exchanges a minute that a stream without times is taken to have.
UNTIMED_RATE = 10.0
_CHUNK = 2048

Key = tuple[str, str]


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A change of tier or of `drifted`, after `exchange` exchanges of the whole stream."""

    exchange: int
    time: float
    route: str
    arm: str
    tier: Tier
    drifted: bool
    signal: str | None
    direction: Direction
    cause: Cause
    headline: str


class Backtest(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream would have raised. `final` is the verdict at its end."""

    exchanges: int
    buckets: int
    alerts: tuple[Alert, ...]
    final: Verdict


def timed(exchanges: Sequence[Exchange], rate: float = UNTIMED_RATE) -> list[Exchange]:
    """Return the exchanges in order of time; where none carries a time, `rate` a minute from epoch 0 on."""
    if any(e.time for e in exchanges):
        return sorted(exchanges, key=lambda e: e.time)
    return [msgspec.structs.replace(e, time=60.0 * i / rate) for i, e in enumerate(exchanges)]


def backtest(
    baseline: Baseline,
    stream: Scored,
    *,
    detection: Detection,
    progress: Callable[[int, int], None] | None = None,
) -> Backtest:
    """Run scored exchanges, in order of time, against a baseline. Raises ValueError when there are none."""
    if not stream.exchanges:
        raise ValueError("the stream holds no exchange")
    detector = Detector(baseline, detection.false_alarms_per_month)
    arms: dict[Key, _Arm] = {}
    alerts: list[Alert] = []
    buckets = done = 0
    for key, minute, bucket in _minutes(baseline, stream):
        arm = arms.setdefault(key, _Arm(baseline, detector, detection, key))
        buckets, done = buckets + 1, done + bucket.n
        alerts += arm.step(minute, bucket, done)
        if progress:
            progress(done, len(stream.exchanges))
    last = max(arms.values(), key=lambda arm: arm.minute)
    worst = max(
        (arm.verdict for arm in arms.values()),
        key=lambda v: (v.drifted, v.tier.concern),
        default=last.verdict,
    )
    return Backtest(exchanges=len(stream.exchanges), buckets=buckets, alerts=tuple(alerts), final=worst)


class _Arm:
    """The state of one (route, arm) along the stream."""

    def __init__(self, baseline: Baseline, detector: Detector, detection: Detection, key: Key) -> None:
        self.minute = 0
        self._baseline, self._detector, self._detection, self._key = baseline, detector, detection, key
        self._evidence: Evidence = detector.start()
        self._recent: deque[tuple[int, Bucket]] = deque()
        self._verdict: Verdict | None = None

    @property
    def verdict(self) -> Verdict:
        """The verdict now."""
        return self._judge(self._detector.findings(self._evidence))

    def step(self, minute: int, bucket: Bucket, done: int) -> list[Alert]:
        """Take in one minute; return an alert when the tier or `drifted` changes."""
        elapsed = float(max(1, minute - self.minute)) if self.minute else 1.0
        self.minute = minute
        self._recent.append((minute, bucket))
        while self._recent[0][0] <= minute - self._detection.window_hours * 60.0:
            self._recent.popleft()
        self._evidence = self._detector.advance(self._evidence, bucket, minutes=elapsed, now=minute * 60.0)
        findings = self._detector.findings(self._evidence)
        # Without evidence no tier but ok is possible: judging can wait.
        if not findings.drifted and (self._verdict is None or not self._verdict.drifted):
            return []
        before, self._verdict = self._verdict, self._judge(findings)
        now = self._verdict
        if (now.tier, now.drifted) == ((before.tier, before.drifted) if before else (Tier.OK, False)):
            return []
        return [self._alert(now, minute, done)]

    def _judge(self, findings: Findings) -> Verdict:
        now, until = (self.minute + 1) * 60.0, self.minute + 1
        previous, settings = self._verdict, self._detection
        for since in window_starts(findings, settings, until):
            window = reduce(Bucket.merge, (b for m, b in self._recent if m >= since), self._empty())
            if window.n >= fewest(findings, settings):
                break
        arm = self._key[1]
        return judge(self._baseline, window, findings, arm=arm, settings=settings, now=now, previous=previous)

    def _empty(self) -> Bucket:
        return Bucket.empty(self._baseline.id, self._baseline.shape)

    def _alert(self, verdict: Verdict, minute: int, done: int) -> Alert:
        raised = [
            (s.tier.concern, -(s.p_value or 0.0), name)
            for name, s in verdict.signals.items()
            if s.tier.concern
        ]
        return Alert(
            exchange=done,
            time=minute * 60.0,
            route=self._key[0],
            arm=self._key[1],
            tier=verdict.tier,
            drifted=verdict.drifted,
            signal=max(raised)[2] if raised else None,
            direction=verdict.direction,
            cause=verdict.cause,
            headline=verdict.headline,
        )


def _minutes(baseline: Baseline, stream: Scored) -> Iterator[tuple[Key, int, Bucket]]:
    """Yield the buckets of the stream in order of their minutes, encoding large pieces at once."""
    rows_of: dict[tuple[int, str, str], list[int]] = {}
    for row, e in enumerate(stream.exchanges):
        rows_of.setdefault((int(e.time // 60), e.route, e.arm), []).append(row)
    pending: list[tuple[tuple[int, str, str], list[int]]] = []
    held = 0
    for key in sorted(rows_of):
        pending.append((key, rows_of[key]))
        held += len(rows_of[key])
        if held >= _CHUNK:
            yield from _folded(baseline, stream, pending)
            pending, held = [], 0
    yield from _folded(baseline, stream, pending)


def _folded(
    baseline: Baseline, stream: Scored, pending: Sequence[tuple[tuple[int, str, str], list[int]]]
) -> Iterator[tuple[Key, int, Bucket]]:
    if not pending:
        return
    part = stream.take([row for _, rows in pending for row in rows])
    features = extract(part)
    encoded = baseline.encode(part, features)
    start = 0
    for (minute, route, arm), rows in pending:
        places = np.arange(start, start + len(rows))
        start += len(rows)
        yield (route, arm), minute, fold_rows(baseline, part, features, encoded, places)
