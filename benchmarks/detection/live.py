"""The live evidence on a stream: baseline, minute buckets, steps, alarms and the verdict at an alarm.

Law: the code that decides is the monitor's own (`build_baseline`, `fold_rows`, `Detector`, `judge`); here is only
bookkeeping. A pool is encoded once and each of its rows folded once and alone; because buckets are exactly additive, the
bucket of a minute is the sum of its rows' vectors, to the bit what folding them together gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.pools import Pool
from benchmarks.detection.streams import MINUTE, Floats, Rows, Stream
from monitor.baseline import Baseline, build_baseline
from monitor.contract import Verdict
from monitor.contract.config import BaselineConfig, Detection
from monitor.evidence.edetector import Detector, Evidence
from monitor.evidence.findings import Findings
from monitor.evidence.rescoring import ScorerChange
from monitor.sketch.bucket import Bucket
from monitor.sketch.fold import fold_rows
from monitor.sketch.hours import counted_hours, hour_of_week
from monitor.verdict.present import Moment, judge_present
from monitor.verdict.scorer import hidden_names

# Exchanges of a baseline: the default of the configuration.
SIZE = BaselineConfig().size
# Minutes summed at once: few at first, because a stream is left at its alarm.
_FIRST_CHUNK, _LARGEST_CHUNK = 60, 2000


class Alarm(NamedTuple):
    """An alarm: after `exchange` exchanges of the stream, at epoch minute `minute`, and what was then known."""

    exchange: int
    minute: int
    evidence: Evidence
    detector: Detector

    @property
    def findings(self) -> Findings:
        """What the evidence says."""
        return self.detector.findings(self.evidence)


class Sight:
    """A pool seen through a baseline: a vector int64 for every row, folded when it is first wanted."""

    def __init__(self, baseline: Baseline, pool: Pool) -> None:
        self.baseline = baseline
        self._pool = pool
        self._encoded = baseline.encode(pool.scored, pool.features)
        self._vectors = np.zeros((pool.size, Bucket.empty(baseline.id, baseline.shape).layout.size), np.int64)
        self._known = np.zeros(pool.size, dtype=bool)

    def vectors(self, rows: Rows) -> NDArray[np.int64]:
        """Return the vectors (n, size) of rows."""
        for row in np.unique(rows)[~self._known[np.unique(rows)]]:
            one = fold_rows(
                self.baseline, self._pool.scored, self._pool.features, self._encoded, np.array([row])
            )
            self._vectors[row] = one.vector
            self._known[row] = True
        return np.asarray(self._vectors[rows])

    def bucket(self, rows: Rows, times: Floats | None = None) -> Bucket:
        """Return the bucket of rows, at these times (n,) where they have any."""
        return self._timed(self.vectors(rows).sum(axis=0), np.zeros(0) if times is None else times)

    def folded(self, rows: Rows) -> Bucket:
        """Return the bucket of rows folded at once: the same, and cheaper where rows are hardly ever wanted again."""
        seen = self._pool.scored, self._pool.features, self._encoded
        return self._timed(fold_rows(self.baseline, *seen, rows).vector, np.zeros(0))

    def _timed(self, vector: NDArray[np.int64], times: Floats) -> Bucket:
        """Return a bucket; a pool's rows have no times, so the hours of the stream's are put in their place."""
        bucket = Bucket(self.baseline.id, self.baseline.shape, vector)
        hours = bucket.layout.fields["hours"]
        vector[hours.start : hours.stop] = counted_hours(hour_of_week(times, self.baseline.seasonality.zone))
        return bucket

    def minutes(self, stream: Stream) -> Iterator[tuple[int, int, Bucket]]:
        """Yield (epoch minute, exchanges up to its end, bucket) for every minute that holds an exchange."""
        minute = (stream.times // MINUTE).astype(np.int64)
        starts = np.flatnonzero(np.diff(minute, prepend=minute[:1] - 1))
        first, size = 0, _FIRST_CHUNK
        while first < len(starts):
            mine = starts[first : first + size]
            end = starts[first + size] if first + size < len(starts) else len(stream.rows)
            sums = np.add.reduceat(self.vectors(stream.rows[mine[0] : end]), mine - mine[0], axis=0)
            ends = np.append(mine[1:], end)
            whens = zip(minute[mine].tolist(), mine.tolist(), ends.tolist(), strict=True)
            for (m, begin, done), vector in zip(whens, sums, strict=True):
                yield m, done, self._timed(vector, stream.times[begin:done])
            first, size = first + size, min(2 * size, _LARGEST_CHUNK)


def learn(pool: Pool, history: Stream, identity: str) -> Baseline:
    """Learn a baseline from a stretch of a stream, with its times."""
    drawn = pool.scored.take(history.rows)
    times = history.times.tolist()
    exchanges = [
        msgspec.structs.replace(e, id=f"h{i}", time=t)
        for i, (e, t) in enumerate(zip(drawn.exchanges, times, strict=True))
    ]
    return build_baseline(
        drawn._replace(exchanges=exchanges),
        route="default",
        scorer=identity,
        settings=BaselineConfig(),
        created=times[-1] if times else 0.0,
    )


def alarms(
    sight: Sight, stream: Stream, *, again: bool, budget: float = 1.0, since: float = 0.0
) -> Iterator[Alarm]:
    """Yield the alarms; `again`: the evidence starts anew after each, otherwise it goes on.

    Without `again` every minute from the first alarm on is yielded. `since`: the evidence starts anew at the first
    minute from this epoch time on.
    """
    detector = Detector(sight.baseline, budget)
    evidence, last, renewed = detector.start(), None, False
    for minute, done, bucket in sight.minutes(stream):
        if not renewed and minute * MINUTE >= since > 0.0:
            evidence, renewed = detector.start(), True
        elapsed = 1.0 if last is None else float(minute - last)
        last = minute
        evidence = detector.advance(evidence, bucket, minutes=elapsed, now=minute * MINUTE)
        if evidence.alarmed:
            yield Alarm(done, minute, evidence, detector)
            if again:
                evidence = detector.start()


def verdict_at(
    sight: Sight,
    stream: Stream,
    alarm: Alarm,
    previous: Verdict | None = None,
    changed: ScorerChange | None = None,
) -> Verdict:
    """Return the verdict that the monitor would give in the minute of an alarm.

    `changed`: what a look at stored exchanges says of the scorer, which the monitor takes at every alarm.
    """
    settings, until, findings = Detection(), alarm.minute + 1, alarm.findings
    if changed is not None:
        left = alarm.detector.without(alarm.evidence, hidden_names(changed))
        findings = alarm.detector.findings(left)
    minutes = _Minutes(sight, stream, alarm.exchange)
    moment = Moment(until * MINUTE, until)
    return judge_present(
        sight.baseline,
        minutes,
        findings,
        moment,
        arm="control",
        settings=settings,
        previous=previous,
        changed=changed,
    ).verdict


class _Minutes(NamedTuple):
    """The minutes of a stream up to an exchange."""

    sight: Sight
    stream: Stream
    exchange: int

    def window(self, since: int, until: int) -> Bucket:
        """Merge the epoch minutes [since, until)."""
        times = self.stream.times[: self.exchange]
        begin, end = np.searchsorted(times, (since * MINUTE, until * MINUTE)).tolist()
        return self.sight.bucket(self.stream.rows[begin:end], times[begin:end])

    def back(self, since: int, until: int) -> Iterator[tuple[int, Bucket]]:
        """Yield those that hold anything, the newest first."""
        minutes = np.unique(self.stream.times[: self.exchange] // MINUTE).astype(int).tolist()
        wanted = (minute for minute in reversed(minutes) if since <= minute < until)
        return ((minute, self.window(minute, minute + 1)) for minute in wanted)
