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
from numpy.typing import NDArray

from monitor.baseline import Baseline
from monitor.contract import Cause, Direction, Exchange, Labels, Tier, Verdict
from monitor.contract.config import Detection
from monitor.evidence.edetector import MINUTES_PER_MONTH, Detector, Evidence
from monitor.evidence.findings import Findings
from monitor.evidence.pairs import PairEvidence, Pairs, given_by_files
from monitor.evidence.rescoring import ScorerChange
from monitor.offline.anomalous import with_anomalies
from monitor.offline.labels import LabelStream, cause_of, labelled, with_labels
from monitor.sketch.bucket import Bucket
from monitor.sketch.features import extract
from monitor.sketch.fold import fold_rows
from monitor.sketch.scored import Scored
from monitor.verdict.present import Moment, judge_present
from monitor.verdict.scorer import hidden_names
from monitor.verdict.window import MOST_MINUTES, most_wanted, scored, whole_minutes

Floats = NDArray[np.float64]

# Part of the false-alarm budget that goes to rewards of known texts, where there are any.
PAIRS_SHARE = 0.1
# Evidence, as a log, with which a changed scorer explains an alarm.
_LOG_SUSPICION = float(np.log(100.0))
# Exchanges a minute that a stream without times is taken to have.
UNTIMED_RATE = 10.0
# Any time but 0, which says that nobody knows when.
_BEGINNING = 86_400.0
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
    """Return the exchanges in order of time; where none carries a time, `rate` a minute from `_BEGINNING` on."""
    if any(e.time for e in exchanges):
        return sorted(exchanges, key=lambda e: e.time)
    return [msgspec.structs.replace(e, time=_BEGINNING + 60.0 * i / rate) for i, e in enumerate(exchanges)]


def backtest(
    baseline: Baseline,
    stream: Scored,
    *,
    detection: Detection,
    known: Scored | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Backtest:
    """Run scored exchanges, in order of time, against a baseline. Raises ValueError when there are none.

    `known`: what the baseline was made of. Texts of the stream that are among them, with rewards from the files, show
    whether the rewards still come from one scorer; looking at that takes a tenth of the false-alarm budget. Labels,
    where both have them, are judged on a budget of their own.
    """
    if not stream.exchanges:
        raise ValueError("the stream holds no exchange")
    if given_by_files(*([] if known is None else [known]), stream):
        detection = msgspec.structs.replace(detection, reward_error=0.0)
    pairs = paired_minutes(known, stream) if known is not None else {}
    share = 1.0 - PAIRS_SHARE if pairs else 1.0
    detector = Detector(baseline, share * detection.false_alarms_per_month)
    arms: dict[Key, _Arm] = {}
    alerts: list[Alert] = []
    buckets = done = 0
    for key, minute, bucket in _minutes(baseline, stream):
        arm = arms.setdefault(key, _Arm(baseline, detector, detection, key))
        buckets, done = buckets + 1, done + bucket.n
        alerts += arm.step(minute, bucket, done, pairs.get((key, minute)))
        if progress:
            progress(done, len(stream.exchanges))
    last = max(arms.values(), key=lambda arm: arm.minute)
    worst = max(
        (arm.verdict for arm in arms.values()),
        key=lambda v: (v.drifted, v.tier.concern),
        default=last.verdict,
    )
    if known is not None and labelled(known.exchanges, stream.exchanges):
        labels = LabelStream(known, detection)
        own = [
            _label_alert(stream.exchanges[row], row, found)
            for row, found in labels.changes(stream, texts_moved=worst.drifted)
        ]
        alerts = sorted([*alerts, *own], key=lambda alert: alert.exchange)
        worst = with_labels(worst, labels.verdict(texts_moved=worst.drifted))
    worst = with_anomalies(worst, baseline, stream)
    return Backtest(exchanges=len(stream.exchanges), buckets=buckets, alerts=tuple(alerts), final=worst)


def _label_alert(exchange: Exchange, row: int, labels: Labels) -> Alert:
    """Return the alert of labels that have begun or ceased to differ; its signal is `labels`."""
    return Alert(
        exchange=row + 1,
        time=exchange.time,
        route=exchange.route,
        arm=exchange.arm,
        tier=labels.tier,
        drifted=labels.drifted,
        signal="labels",
        direction=labels.direction,
        cause=cause_of(labels),
        headline=labels.headline,
    )


class ScorerSeen:
    """What equal texts with other rewards have shown so far; once shown, it stays so."""

    def __init__(self, false_alarms_per_month: float) -> None:
        self._log_alarm = float(np.log(MINUTES_PER_MONTH / (PAIRS_SHARE * false_alarms_per_month)))
        self._evidence = PairEvidence.start()
        self._seen: Floats = np.zeros((0, 2))
        self._change: ScorerChange | None = None

    def take(self, pairs: Floats) -> None:
        """Take in (k, 2) rewards in units of the baseline's spread: known and present."""
        self._evidence = self._evidence.advance(pairs, 1.0)
        self._seen = np.vstack([self._seen, pairs])

    def change(self, *, alarmed: bool) -> ScorerChange | None:
        """Return the change; an alarm that stands anyway asks for less evidence of what caused it."""
        enough = _LOG_SUSPICION if alarmed else self._log_alarm
        if self._change is None and self._evidence.total >= enough:
            moved = float((self._seen[:, 1] - self._seen[:, 0]).mean())
            said = (
                f"{len(self._seen)} exchanges with a prompt and response that the baseline has, too, carry other "
                f"rewards (by {moved:+.2f} standard deviations on average)"
            )
            self._change = ScorerChange(reward=True, embedding=False, said=said)
        return self._change


def paired_minutes(known: Scored, stream: Scored) -> dict[tuple[Key, int], Floats]:
    """Return the rewards (k, 2), in units of the baseline's spread, of each minute's texts that are known."""
    rows_of: dict[tuple[Key, int], list[int]] = {}
    for row, e in enumerate(stream.exchanges):
        rows_of.setdefault(((e.route, e.arm), int(e.time // 60)), []).append(row)
    pairs = Pairs(known)
    ordered = sorted(rows_of, key=lambda place: place[1])
    found = {place: pairs.match(stream, rows_of[place]) / pairs.scale for place in ordered}
    return {place: rewards for place, rewards in found.items() if len(rewards)}


class Recent:
    """The newest minutes of an arm: all that a window may still reach back to, and hardly more."""

    def __init__(self, baseline: Baseline, settings: Detection) -> None:
        self._baseline, self._settings = baseline, settings
        self._minutes: deque[tuple[int, Bucket]] = deque()
        self._scored = 0

    def __len__(self) -> int:
        """Return how many minutes are kept."""
        return len(self._minutes)

    def add(self, minute: int, bucket: Bucket) -> None:
        """Take in a minute, later than the others."""
        self._minutes.append((minute, bucket))
        self._scored += scored(bucket)
        while self._is_out_of_reach(minute + 1):
            self._scored -= scored(self._minutes.popleft()[1])

    def _is_out_of_reach(self, until: int) -> bool:
        oldest, bucket = self._minutes[0]
        if oldest >= until - whole_minutes(self._settings):
            return False
        enough = self._scored - scored(bucket) >= most_wanted(self._settings)
        return enough or len(self._minutes) > whole_minutes(self._settings) + MOST_MINUTES

    def window(self, since: int, until: int) -> Bucket:
        """Merge the epoch minutes [since, until)."""
        empty = Bucket.empty(self._baseline.id, self._baseline.shape)
        return reduce(Bucket.merge, (b for m, b in self._minutes if since <= m < until), empty)

    def back(self, since: int, until: int) -> Iterator[tuple[int, Bucket]]:
        """Yield those of the epoch minutes [since, until) that are kept, the newest first."""
        return (kept for kept in reversed(self._minutes) if since <= kept[0] < until)


class _Arm:
    """The state of one (route, arm) along the stream."""

    def __init__(self, baseline: Baseline, detector: Detector, detection: Detection, key: Key) -> None:
        self.minute = 0
        self._baseline, self._detector, self._detection, self._key = baseline, detector, detection, key
        self._evidence: Evidence = detector.start()
        self._recent = Recent(baseline, detection)
        self._verdict: Verdict | None = None
        self._scorer = ScorerSeen(detection.false_alarms_per_month)

    @property
    def verdict(self) -> Verdict:
        """The verdict now."""
        return self._judge(self._detector.findings(self._evidence))

    def step(self, minute: int, bucket: Bucket, done: int, pairs: Floats | None = None) -> list[Alert]:
        """Take in one minute, with the rewards of its known texts; return an alert on a change of tier or `drifted`."""
        elapsed = float(max(1, minute - self.minute)) if self.minute else 1.0
        self.minute = minute
        self._recent.add(minute, bucket)
        self._evidence = self._detector.advance(self._evidence, bucket, minutes=elapsed, now=minute * 60.0)
        if pairs is not None:
            self._scorer.take(pairs)
        changed = self._scorer.change(alarmed=self._evidence.alarmed)
        if changed is not None:
            self._evidence = self._detector.without(self._evidence, hidden_names(changed))
        findings = self._detector.findings(self._evidence)
        # Without evidence no tier but ok is possible: judging can wait.
        quiet = not findings.drifted and (self._verdict is None or not self._verdict.drifted)
        if quiet and changed is None:
            return []
        before, self._verdict = self._verdict, self._judge(findings)
        now = self._verdict
        if (now.tier, now.drifted) == ((before.tier, before.drifted) if before else (Tier.OK, False)):
            return []
        return [self._alert(now, minute, done)]

    def _judge(self, findings: Findings) -> Verdict:
        return judge_present(
            self._baseline,
            self._recent,
            findings,
            Moment((self.minute + 1) * 60.0, self.minute + 1),
            arm=self._key[1],
            settings=self._detection,
            previous=self._verdict,
            changed=self._scorer.change(alarmed=self._evidence.alarmed),
        ).verdict

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
