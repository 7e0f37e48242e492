"""The evidence keeps its promise: quiet without change whatever the looking, quick and signed with it.

Some streams here are drawn as sums of scores, without texts, so that thousands of minutes cost little and the very
minute of an alarm can be pinned.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.baseline import Baseline
from monitor.evidence.edetector import MINUTES_PER_MONTH, Detector, Evidence
from monitor.sketch.bucket import Bucket
from monitor.sketch.fold import fold
from monitor.sketch.layout import PROMPT_SCORES, RESPONSE_SCORES, SCALE
from monitor.sketch.scored import Scored
from tests.monitor.synthetic import World

REWARD = RESPONSE_SCORES.index("reward")
NOVELTY = RESPONSE_SCORES.index("response novelty")
LENGTH = RESPONSE_SCORES.index("response length")


def drawn(
    baseline: Baseline, rng: np.random.Generator, n: int, shift: dict[int, float] | None = None
) -> Bucket:
    """Draw a bucket of n exchanges whose scores are standard normal and whose counts have the baseline's rates.

    `shift` moves single response scores, in standard deviations.
    """
    empty = Bucket.empty(baseline.id, baseline.shape)
    layout, reference = empty.layout, baseline.reference
    vector = empty.vector.copy()
    for name in ("exchanges", "prompts", "answers", "supported", "rewarded", "timed"):
        layout.add(vector, name, n)
    for name in ("refused", "truncated", "empty", "incomplete", "errors"):
        layout.add(vector, name, int(rng.binomial(n, reference.count(name) / reference.n)))
    beyond_90 = int(rng.binomial(n, reference.count("novel_90") / reference.count("prompts")))
    layout.add(vector, "novel_90", beyond_90)
    layout.add(vector, "novel_98", int(rng.binomial(beyond_90, 0.2)))
    for name in ("prompt_scores", "response_scores", "system_scores"):
        field = layout.fields[name]
        sums = rng.standard_normal(field.stop - field.start) * np.sqrt(n)
        if name == "response_scores" and shift:
            for place, by in shift.items():
                sums[place] += n * by
        vector[field.start : field.stop] = np.rint(sums * SCALE).astype(np.int64)
    return Bucket(baseline.id, baseline.shape, vector)


def minutes(baseline: Baseline, stream: Scored) -> Iterator[tuple[int, Bucket]]:
    """Give the buckets of a stream in order of their minutes."""
    for key, bucket in sorted(fold(baseline, stream).items(), key=lambda item: item[0].minute):
        yield key.minute, bucket


def alarm_index(detector: Detector, baseline: Baseline, stream: Scored) -> int | None:
    """Return after how many exchanges the alarm is raised; None if it never is."""
    evidence, seen = detector.start(), 0
    for minute, bucket in minutes(baseline, stream):
        evidence = detector.advance(evidence, bucket, minutes=1.0, now=60.0 * minute)
        seen += bucket.n
        if evidence.alarmed:
            return seen
    return None


@pytest.mark.parametrize("seed", range(4))
def test_no_shift_stays_quiet(reference: Baseline, seed: int):
    """Four thousand exchanges of the baseline's own world, looked at every minute, raise nothing."""
    stream = World(start=9e5).make(4000, seed=seed)
    assert alarm_index(Detector(reference, 1.0), reference, stream) is None


@pytest.mark.parametrize(
    ("changed", "at_most"),
    [
        (World(quality=-0.1), 450),
        (World(quality=0.1), 450),
        (World(length=2.0), 240),
        (World(refusals=0.3), 240),
        (World(turn=0.3), 360),
        (World(shares=(0.4, 0.3, 0.2, 0.1, 0.4)), 360),
        (World(latency_s=2.0), 300),
    ],
    ids=["worse", "better", "longer", "refusing", "other words", "new topic", "slower"],
)
def test_a_shift_alarms_soon(reference: Baseline, changed: World, at_most: int):
    """Each kind of change alarms within so many exchanges of its beginning."""
    found = alarm_index(Detector(reference, 1.0), reference, changed.make(900, seed=3))
    assert found is not None
    assert found <= at_most


def test_the_alarm_comes_at_the_very_same_minute(reference: Baseline):
    """The same scores alarm at the same minute: a reward half a deviation lower, ten exchanges a minute."""
    rng, detector = np.random.default_rng(4), Detector(plain(reference), 1.0)
    evidence = detector.start()
    alarms = []
    for minute in range(60):
        bucket = drawn(reference, rng, 10, {REWARD: -0.5} if minute >= 30 else None)
        evidence = detector.advance(evidence, bucket, minutes=1.0, now=60.0 * minute)
        alarms.append(evidence.alarmed)
    assert alarms.index(True) == 40  # 100 to 110 exchanges after the change
    assert all(alarms[40:])
    assert abs((evidence.since or 0.0) / 60.0 - 30) <= 3


def plain(baseline: Baseline, times: int = 1) -> Baseline:
    """Return the baseline as if exchanges were independent; `times` as large, for a tolerance near zero."""
    known = baseline.reference
    return dataclasses.replace(
        baseline,
        overdispersion={name: np.ones(len(value)) for name, value in baseline.overdispersion.items()},
        reference=Bucket(known.baseline, known.shape, known.vector * times),
    )


@pytest.mark.parametrize(("shift", "sign"), [(-0.5, -1), (0.5, 1)])
def test_direction_is_signed(reference: Baseline, shift: float, sign: int):
    """The richest process of a score says whether it fell or rose, and that family alone shows a change."""
    rng, detector = np.random.default_rng(1), Detector(reference, 1.0)
    evidence = detector.start()
    for minute in range(60):
        bucket = drawn(reference, rng, 10, {REWARD: shift})
        evidence = detector.advance(evidence, bucket, minutes=1.0, now=60.0 * minute)
    richest = detector.processes[int(np.argmax(evidence.log_wealth))]
    assert (richest.name, richest.sign) == ("reward", sign)
    found = detector.findings(evidence)
    assert (found.drifted, found.behaviour, found.traffic, found.service) == (True, True, False, False)


def test_nearer_to_the_centres_is_no_news(reference: Baseline):
    """Novelty is bet on in one direction: answers closer to the baseline's centres never alarm."""
    rng, detector = np.random.default_rng(2), Detector(reference, 1.0)
    evidence = detector.start()
    for minute in range(120):
        bucket = drawn(reference, rng, 10, {NOVELTY: -0.5})
        evidence = detector.advance(evidence, bucket, minutes=1.0, now=60.0 * minute)
    assert not evidence.alarmed


def test_evidence_survives_bytes(reference: Baseline):
    """A restarted monitor goes on exactly where it was."""
    rng, detector = np.random.default_rng(3), Detector(reference, 1.0)
    evidence = detector.advance(detector.start(), drawn(reference, rng, 30), minutes=1.0, now=60.0)
    again, bucket = Evidence.from_bytes(evidence.to_bytes()), drawn(reference, rng, 30)
    one, other = (detector.advance(e, bucket, minutes=1.0, now=120.0) for e in (evidence, again))
    assert one.to_bytes() == other.to_bytes()
    assert Evidence.from_bytes(detector.start().to_bytes()).log_wealth.tolist() == [-np.inf] * len(
        detector.processes
    )


@pytest.mark.parametrize("data", [b"", b"\xc1", b"nonsense"])
def test_damaged_evidence_is_refused(data: bytes):
    """Damaged bytes end in one ValueError."""
    with pytest.raises(ValueError, match="damaged evidence"):
        Evidence.from_bytes(data)


def test_advancing_leaves_its_input_untouched(reference: Baseline):
    """Evidence goes in and comes out; the detector keeps none."""
    rng, detector = np.random.default_rng(4), Detector(reference, 1.0)
    evidence = detector.advance(detector.start(), drawn(reference, rng, 30), minutes=1.0, now=60.0)
    before, bucket = evidence.to_bytes(), drawn(reference, rng, 30)
    first = detector.advance(evidence, bucket, minutes=1.0, now=120.0)
    second = detector.advance(evidence, bucket, minutes=1.0, now=120.0)
    assert evidence.to_bytes() == before
    assert first.to_bytes() == second.to_bytes()


def test_the_alarm_clears_after_the_shift(reference: Baseline):
    """Once the model answers as before again, the alarm falls within hours."""
    rng, detector = np.random.default_rng(5), Detector(reference, 1.0)
    evidence = detector.start()
    for minute in range(40):
        bucket = drawn(reference, rng, 30, {REWARD: -0.8})
        evidence = detector.advance(evidence, bucket, minutes=1.0, now=60.0 * minute)
    assert evidence.alarmed
    cleared = None
    for minute in range(40, 400):
        evidence = detector.advance(evidence, drawn(reference, rng, 30), minutes=1.0, now=60.0 * minute)
        if not evidence.alarmed:
            cleared = minute - 40
            break
    assert cleared is not None
    assert cleared < 180


def test_the_alarm_stands_as_long_as_the_change_does(reference: Baseline):
    """A change that lasts for a dozen times the baseline's size is one alarm; once it is over, the alarm falls."""
    rng, detector = np.random.default_rng(8), Detector(reference, 1.0)
    evidence, alarms = detector.start(), []
    for minute in range(400):
        bucket = drawn(reference, rng, 50, {LENGTH: 0.3})
        evidence = detector.advance(evidence, bucket, minutes=1.0, now=60.0 * minute)
        alarms.append(evidence.alarmed)
    assert all(alarms[alarms.index(True) :])
    for minute in range(400, 700):
        evidence = detector.advance(evidence, drawn(reference, rng, 50), minutes=1.0, now=60.0 * minute)
    assert not evidence.alarmed


def test_a_long_silence_is_no_alarm(reference: Baseline):
    """A month without traffic, before and between exchanges, is nothing suspicious."""
    rng, detector = np.random.default_rng(6), Detector(reference, 1.0)
    evidence, quiet = detector.start(), Bucket.empty(reference.id, reference.shape)
    for step in range(20):
        bucket = drawn(reference, rng, 20) if step % 2 else quiet
        evidence = detector.advance(evidence, bucket, minutes=float(MINUTES_PER_MONTH), now=2.6e6 * step)
        assert not evidence.alarmed


def wealth(detector: Detector, baseline: Baseline, seed: int, steps: int, n: int) -> NDArray[np.float64]:
    """Return the weighted mean wealth after each minute of one driftless stream."""
    rng, evidence, path = np.random.default_rng([11, seed]), detector.start(), []
    for minute in range(steps):
        evidence = detector.advance(evidence, drawn(baseline, rng, n), minutes=1.0, now=60.0 * minute)
        path.append(float(np.exp(detector.total(evidence.log_wealth))))
    return np.array(path)


def test_mean_wealth_is_no_more_than_elapsed_time(reference: Baseline):
    """Over 300 driftless streams E[M] stays at the minutes elapsed, even without any tolerance.

    With the baseline known exactly, E[M] equals the time for Gaussian scores; the mean of 300 streams may miss it
    by a fifth.
    """
    known = plain(reference, times=10**6)
    detector = Detector(known, 1.0)
    mean = np.mean([wealth(detector, known, seed, 6, 1) for seed in range(300)], axis=0)
    elapsed = np.arange(1, 7)
    assert np.all(mean <= 1.2 * elapsed)
    assert np.all(mean >= 0.4 * elapsed)


def test_average_run_length_is_not_below_the_budget(reference: Baseline):
    """On a budget of one false alarm every 20 minutes, driftless streams run at least 20 minutes on average."""
    known = plain(reference, times=10**6)
    detector = Detector(known, MINUTES_PER_MONTH / 20.0)
    runs = []
    for seed in range(150):
        over = np.flatnonzero(np.log(wealth(detector, known, 1000 + seed, 60, 2)) >= detector.log_alarm)
        runs.append(int(over[0]) + 1 if len(over) else 60)
    assert np.mean(runs) >= 20.0


def test_the_budget_sets_the_bar(reference: Baseline):
    """One alarm a month needs a wealth of 43,200 minutes; ten times the budget, a tenth of it."""
    assert np.exp(Detector(reference, 1.0).log_alarm) == pytest.approx(43_200)
    assert np.exp(Detector(reference, 10.0).log_alarm) == pytest.approx(4_320)


def test_shares_of_the_budget_add_up(reference: Baseline):
    """The weights of all processes sum to one, so that all together keep one budget."""
    detector = Detector(reference, 1.0)
    assert np.exp(detector._log_weight).sum() == pytest.approx(1.0)
    assert {p.name for p in detector.processes} >= {*PROMPT_SCORES, *RESPONSE_SCORES, "latency", "refused"}


def test_evidence_without_a_name_is_that_of_the_others(reference: Baseline):
    """An alarm that only the reward carries falls with it; one that others carry stands, with its date."""
    detector = Detector(reference, 1.0)
    rng = np.random.default_rng(0)
    only_reward, both = detector.start(), detector.start()
    for minute in range(200):
        now = 60.0 * minute
        only_reward = detector.advance(
            only_reward, drawn(reference, rng, 10, {REWARD: -1.0}), minutes=1.0, now=now
        )
        shifts = {REWARD: -0.4, 0: 1.5}
        both = detector.advance(both, drawn(reference, rng, 10, shifts), minutes=1.0, now=now)
    assert only_reward.alarmed
    assert both.alarmed
    assert not detector.without(only_reward, frozenset({"reward"})).alarmed
    left = detector.without(both, frozenset({"reward"}))
    assert left.since == both.since
    assert detector.without(detector.start(), frozenset({"reward"})).alarmed is False
    assert detector.without(both, frozenset()) is both


@pytest.mark.parametrize(("shift", "alarms"), [(0.6, 0), (-0.6, 1)])
def test_only_a_fall_of_the_answer_fit_is_bet_on(reference: Baseline, shift: float, alarms: int):
    """Answers that fit better, as those to known prompts do, never alarm; those that fit worse do."""
    rng, detector = np.random.default_rng(8), Detector(reference, 1.0)
    evidence, alarmed = detector.start(), False
    for minute in range(120):
        bucket = drawn(reference, rng, 10, {RESPONSE_SCORES.index("answer fit"): shift})
        evidence = detector.advance(evidence, bucket, minutes=1.0, now=60.0 * minute)
        alarmed |= evidence.alarmed
    assert int(alarmed) == alarms
