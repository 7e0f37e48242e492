"""Evidence under continuous looking: e-detectors on one false-alarm budget.

Each process bets against "nothing changed" on one score, in one direction, at one stake; its wealth is a
Shiryaev-Roberts sum of e-values, M <- (M + t) e, where t is the time since the last step. Whatever the looking,
E[M] <= elapsed time as long as nothing changed, so the weighted mean of all processes exceeds A on average not
before A minutes (Shin, Ramdas & Rinaldo 2024, e-detectors; the average needs no independence: Vovk & Wang 2021).

Stakes on normal scores use that these are 1-sub-Gaussian (see `scores`); counts use likelihood ratios (`banks`). The
null is not the baseline's mean exactly, because a baseline is itself an estimate, and every variance is multiplied by
the baseline's overdispersion.

Where the baseline tells hours apart, the null is that of the exchanges' own hours. An hour's expectation errs the same
way for the whole hour; with a variance v of that error, n exchanges of one hour have a sum of variance n + n^2 v, and
each step pays its part of it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.baseline.frozen import Baseline
from monitor.baseline.seasonality import Seasonality
from monitor.evidence.banks import CellBank, Delta, RateBank, TopicBank
from monitor.evidence.findings import Findings
from monitor.evidence.scores import Course, PredictiveBank, TolerantBank, families
from monitor.sketch.bucket import Bucket

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MINUTES_PER_MONTH = 30 * 24 * 60
# Shares of the budget; within a family it is shared out by the processes' weights.
_SHARES = {
    "prompt": 0.12,
    "novelty": 0.05,
    "topic": 0.10,
    "response": 0.20,
    # What people ask for by name.
    "length": 0.13,
    "reward": 0.20,
    "quality": 0.10,
    "system": 0.05,
    "repetition": 0.05,
}
_OF_ANSWERS = ("response", "length", "reward", "quality")
# Minutes that one step may add to the wealth: after a long silence nothing is suspicious by itself.
LONGEST_STEP = 60.0
# What one signal must show by itself, in a window that begins where its change began.
SIGNAL_LEVEL = 0.001
# Wealth beyond this many logs over the alarm adds nothing but a slower recovery.
_LOG_HEADROOM = 6.0


class Visit(NamedTuple):
    """The slot that the last step ended in, -1 where hours are not told apart, and the exchanges seen in it since."""

    slot: int
    seen: float

    def in_slot(self, slot: int) -> float:
        """Return how many exchanges of this slot came just before."""
        return self.seen if slot == self.slot else 0.0


NOWHERE = Visit(-1, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Log wealth of every process, when each began to rise, and since when a standing alarm dates the change.

    Times are epoch seconds. `course` is what the predictive processes, the last ones, have seen. `since` is estimated
    when the alarm is raised and kept while it stands.
    """

    baseline: str
    log_wealth: Floats
    onset: Floats
    course: Course
    since: float | None = None
    visit: Visit = NOWHERE

    @property
    def alarmed(self) -> bool:
        """Whether an alarm stands."""
        return self.since is not None

    def to_bytes(self) -> bytes:
        """Encode for the store."""
        state = self.log_wealth.tobytes(), self.onset.tobytes(), np.array(self.course).tobytes()
        parts = (self.baseline, *state, self.since, self.visit)
        return msgspec.msgpack.encode(parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> Evidence:
        """Decode. Raises ValueError when the data are damaged."""
        try:
            baseline, wealth, onset, course, since, visit = msgspec.msgpack.decode(
                data, type=tuple[str, bytes, bytes, bytes, float | None, Visit]
            )
            seen = Course(*np.frombuffer(course).reshape(len(Course._fields), -1).copy())
        except (msgspec.MsgspecError, ValueError) as error:
            raise ValueError(f"damaged evidence: {error}") from None
        return cls(baseline, np.frombuffer(wealth).copy(), np.frombuffer(onset).copy(), seen, since, visit)


class Detector:
    """All processes of a baseline under one budget. Stateless: evidence goes in and comes out."""

    def __init__(self, baseline: Baseline, false_alarms_per_month: float) -> None:
        self.baseline_id = baseline.id
        self._seasonality: Seasonality = baseline.seasonality
        self.log_alarm = float(np.log(MINUTES_PER_MONTH / false_alarms_per_month))
        scores = families(baseline)
        self._banks: list[TolerantBank | RateBank | CellBank | TopicBank] = [
            *(TolerantBank(each) for each in scores),
            RateBank(baseline),
            CellBank(baseline),
            TopicBank(baseline),
        ]
        self._predictive = PredictiveBank(scores)
        banks = (*self._banks, self._predictive)
        self.processes = [process for bank in banks for process in bank.processes]
        whole: defaultdict[str, float] = defaultdict(float)
        for process in self.processes:
            whole[process.family] += process.weight
        self._log_weight = np.log([_SHARES[p.family] * p.weight / whole[p.family] for p in self.processes])
        self._first_predictive = len(self.processes) - len(self._predictive.processes)
        # Which processes (p,) have courses.
        self.is_predictive: Mask = np.arange(len(self.processes)) >= self._first_predictive

    @property
    def log_weights(self) -> Floats:
        """Each process's share of the budget, as a log."""
        return self._log_weight

    @property
    def log_ceiling(self) -> Floats:
        """Wealth that no process passes, as a log."""
        return self.log_alarm - self._log_weight + _LOG_HEADROOM

    def bet(
        self, delta: Bucket, before: Visit = NOWHERE, course: Course | None = None
    ) -> tuple[Floats, Course]:
        """Return what each process wins or loses, as a log, on what was folded since the last step, and the courses then.

        `before` is where that step ended; without a `course` the predictive processes begin with this step.
        """
        expected, error = self._seasonality.expected(delta.read("hours")), 0.0
        if expected is not None:
            load = 2.0 * before.in_slot(expected.slot) + delta.n
            error = expected.variance * self._seasonality.repeats * load
        seen = Delta(delta, expected, error)
        won, after = self._predictive.advance(seen, course or self._predictive.start())
        return np.concatenate([*(bank.log_e_values(seen) for bank in self._banks), won]), after

    def begin_again(
        self, log_wealth: Floats, course: Course, fresh: float, *, alarmed: bool
    ) -> tuple[Mask, Course]:
        """Return which processes (p,) begin anew with what this step adds, `fresh` (a log), and the courses then.

        These are predictive ones whose wealth is no more than that, and those whose course is over. The other
        predictive ones go on with what they have; all others are added to. What comes while an alarm stands (`alarmed`)
        is not taken for usual.
        """
        first = self._first_predictive
        again = (log_wealth[first:] <= fresh) | self._predictive.over(course)
        return np.concatenate([np.zeros(first, dtype=bool), again]), course.begun(again, usual=not alarmed)

    def start(self) -> Evidence:
        """Return evidence of nothing yet."""
        nothing = np.full(len(self.processes), -np.inf)
        return Evidence(self.baseline_id, nothing, np.zeros(len(self.processes)), self._predictive.start())

    def advance(self, evidence: Evidence, delta: Bucket, *, minutes: float, now: float) -> Evidence:
        """Take in what was folded since the last step, `minutes` ago. `now` is its epoch time.

        The alarm stands from when the wealth reaches the budget until it has fallen to its square root.
        """
        fresh = float(np.log(np.clip(minutes, 1e-9, LONGEST_STEP)))
        again, course = self.begin_again(
            evidence.log_wealth, evidence.course, fresh, alarmed=evidence.alarmed
        )
        won, course = self.bet(delta, evidence.visit, course)
        kept = np.where(again, fresh, evidence.log_wealth)
        grown = np.where(self.is_predictive, kept, np.logaddexp(kept, fresh))
        onset = np.where(again | (evidence.log_wealth <= fresh), now, evidence.onset)
        log_wealth = np.minimum(grown + won, self.log_ceiling)
        total = self.total(log_wealth)
        alarmed = total >= (self.log_alarm / 2 if evidence.alarmed else self.log_alarm)
        since = evidence.since if evidence.alarmed else self._since(log_wealth, onset)
        visit = self.visit_after(evidence.visit, delta)
        return Evidence(evidence.baseline, log_wealth, onset, course, since if alarmed else None, visit)

    def visit_after(self, before: Visit, delta: Bucket) -> Visit:
        """Return the hour that a step ends in, and how many exchanges it has had by then."""
        expected = self._seasonality.expected(delta.read("hours"))
        if expected is None:
            return NOWHERE
        return Visit(expected.slot, before.in_slot(expected.slot) + delta.n)

    def total(self, log_wealth: Floats) -> float:
        """Return the log of the weighted mean wealth, to be compared with `log_alarm`."""
        return float(np.logaddexp.reduce(log_wealth + self._log_weight))

    def without(self, evidence: Evidence, names: frozenset[str]) -> Evidence:
        """Return the evidence of all processes but those on these names; the alarm stands where these do not carry it.

        Where they held more than the others did, the others must reach the alarm by themselves.
        """
        mine = np.array([process.name in names for process in self.processes])
        if not mine.any():
            return evidence
        dropped, wealth = (np.where(part, -np.inf, evidence.log_wealth) for part in (~mine, mine))
        carried = self.total(dropped) > self.total(wealth)
        # What they have seen is not taken for usual either.
        course = evidence.course.begun(mine[self._first_predictive :], usual=False)
        left = replace(evidence, log_wealth=wealth, course=course)
        if not evidence.alarmed or not carried:
            return left
        stands = self.total(wealth) >= self.log_alarm
        return replace(left, since=self._since(wealth, evidence.onset) if stands else None)

    def family_wealth(self, evidence: Evidence, families: frozenset[str]) -> float:
        """Return the log of the weighted wealth of some families: their part of the total."""
        mine = [i for i, process in enumerate(self.processes) if process.family in families]
        return float(np.logaddexp.reduce(evidence.log_wealth[mine] + self._log_weight[mine]))

    def findings(self, evidence: Evidence) -> Findings:
        """Return what the evidence says; a family shows a change where it holds a fair part of the alarm."""
        wealth = {family: self.family_wealth(evidence, frozenset({family})) for family in _SHARES}
        enough = self.log_alarm - 1.0
        shows = {
            family: evidence.alarmed and w >= min(enough, max(wealth.values()))
            for family, w in wealth.items()
        }
        return Findings(
            drifted=evidence.alarmed,
            traffic=shows["prompt"] or shows["novelty"] or shows["topic"],
            behaviour=any(shows[family] for family in _OF_ANSWERS),
            service=shows["system"] or shows["quality"],
            # Whatever raised the alarm, one prompt or user that fills the traffic may be why: their signals tell.
            repetition=evidence.alarmed,
            signal_level=SIGNAL_LEVEL,
            since=evidence.since,
        )

    def _since(self, log_wealth: Floats, onset: Floats) -> float:
        """Return when the processes that contribute most began to rise (epoch s).

        Of those about equally rich, the one that began last: small stakes hover above zero even without change.
        """
        part = log_wealth + self._log_weight
        return float(onset[part >= part.max() - 1.0].max())
