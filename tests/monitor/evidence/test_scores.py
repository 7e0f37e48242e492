"""Bets on scores pay for the baseline's error: for ever within a tolerance, or once, as for a random draw."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from monitor.baseline import Baseline
from monitor.baseline.seasonality import Expected
from monitor.evidence.banks import Delta
from monitor.evidence.edetector import Detector
from monitor.evidence.scores import Course, PredictiveBank, Scores, TolerantBank, families
from monitor.sketch.bucket import Bucket
from monitor.sketch.layout import RESPONSE_SCORES, REWARD_SCORES, SCALE

LENGTH = RESPONSE_SCORES.index("response length")


def independent(baseline: Baseline) -> Baseline:
    """Return the baseline as if its exchanges were independent."""
    ones = {name: np.ones(len(value)) for name, value in baseline.overdispersion.items()}
    return dataclasses.replace(baseline, overdispersion=ones)


def answers(baseline: Baseline, n: int, total: float) -> Delta:
    """Make a step of n answers whose lengths' scores sum to `total`; nothing else moves."""
    bucket = Bucket.empty(baseline.id, baseline.shape)
    for name in ("exchanges", "supported", "answers"):
        bucket.layout.add(bucket.vector, name, n)
    bucket.vector[bucket.layout.fields["response_scores"].start + LENGTH] = round(SCALE * total)
    return Delta(bucket, None, 0.0)


def responses(baseline: Baseline) -> Scores:
    """Return the family of response scores."""
    return families(baseline)[1]


def longer(bank: TolerantBank | PredictiveBank) -> list[int]:
    """Return the places of the bets that answers become longer."""
    return [i for i, p in enumerate(bank.processes) if (p.name, p.sign) == ("response length", 1)]


def test_courses_are_fair_over_baselines_and_streams_together(reference: Baseline):
    """Likelihood ratios whose baseline errs by chance have a mean of one, cut into steps or not."""
    scores = responses(independent(reference))
    bank, size = PredictiveBank([scores]), float(scores.size[LENGTH])
    mine, rng, steps = longer(bank), np.random.default_rng(1), 3
    wealth = []
    for _ in range(4000):
        error, course, won = rng.standard_normal() / np.sqrt(size), bank.start(), np.zeros(len(mine))
        for _ in range(steps):
            total = 2 * error + np.sqrt(2) * rng.standard_normal()
            gained, course = bank.advance(answers(reference, 2, total), course)
            won += gained[mine]
        wealth.append(won)
    assert np.exp(np.array(wealth)).mean(axis=0) == pytest.approx(1.0, abs=0.12)


def test_a_course_does_not_care_how_it_is_cut(reference: Baseline):
    """Ten steps of twenty answers leave what one of two hundred does."""
    bank = PredictiveBank([responses(reference)])
    whole, _ = bank.advance(answers(reference, 200, 60.0), bank.start())
    course, won = bank.start(), np.zeros(len(bank.processes))
    for _ in range(10):
        gained, course = bank.advance(answers(reference, 20, 6.0), course)
        won += gained
    assert won == pytest.approx(whole)


def test_the_error_is_paid_for_once(reference: Baseline):
    """A shift of a third of a deviation wins more, sooner; what a course can win ends with what the baseline can tell."""
    scores = responses(independent(reference))
    tolerant, predictive = TolerantBank(scores), PredictiveBank([scores])
    step = answers(reference, 100, 30.0)
    always, once = tolerant.log_e_values(step), predictive.advance(step, predictive.start())[0]
    assert once[longer(predictive)].max() > always[longer(tolerant)].max() + 1.0
    size = float(scores.size[LENGTH])
    much = answers(reference, round(1000 * size), 500 * size)
    won = predictive.advance(much, predictive.start())[0]
    assert won[longer(predictive)].max() < 0.5**2 / 2 * size
    assert tolerant.log_e_values(much)[longer(tolerant)].max() > 10 * won[longer(predictive)].max()


def test_a_course_begins_anew_without_wealth_and_at_its_end(reference: Baseline):
    """Until an alarm nothing is kept of exchanges that spoke against a change, nor of more than the baseline can tell."""
    detector = Detector(reference, 1.0)
    predictive = detector.is_predictive
    poor = np.where(predictive, -1.0, 3.0)
    seen = Course(*np.full((6, int(predictive.sum())), 7.0))
    again, begun = detector.begin_again(poor, seen, fresh=0.0, alarmed=False)
    assert (again == predictive).all()
    assert not begun.seen.any()
    again, begun = detector.begin_again(poor + 2.0, seen, fresh=0.0, alarmed=False)
    assert not again.any()
    assert begun.total.tolist() == seen.total.tolist()
    endless = seen._replace(seen=np.full_like(seen.seen, 1e9))
    assert (detector.begin_again(poor + 2.0, endless, fresh=0.0, alarmed=False)[0] == predictive).all()


def test_what_an_hour_expects_of_a_reward_is_a_mean_over_rewards(reference: Baseline):
    """With rewards on half of the answers, an hour's usual rewards are as usual; so they are where all have one."""
    places = [RESPONSE_SCORES.index(name) for name in sorted(REWARD_SCORES)]
    for share in (0.5, 1.0):
        bucket = Bucket.empty(reference.id, reference.shape)
        usual = np.zeros(bucket.layout.size)
        fields = bucket.layout.fields
        for name, of_each in {
            "exchanges": 1.0,
            "supported": 0.8,
            "rewarded": share,
            "unsupported": share / 5,
        }.items():
            usual[fields[name].start] = of_each
            bucket.layout.add(bucket.vector, name, round(100 * of_each))
        for place in places:
            usual[fields["response_scores"].start + place] = SCALE * 0.3 * 0.8 * share
            bucket.vector[fields["response_scores"].start + place] = round(SCALE * 0.3 * 80 * share)
        n, left = responses(reference).seen(Delta(bucket, Expected(usual, 0.0, 0.0, 0), 0.0))
        assert n[places] == pytest.approx(80 * share)
        assert left == pytest.approx(0.0, abs=1e-3)


def test_a_course_that_begins_anew_at_its_end_dates_a_change_from_there(reference: Baseline):
    """What it wins from then on says nothing of when it had begun before."""
    detector = Detector(reference, 1.0)
    start, predictive = detector.start(), detector.is_predictive
    endless = np.full(int(predictive.sum()), 1e9)
    course = start.course._replace(seen=endless, load=endless)
    old = dataclasses.replace(
        start, log_wealth=np.where(predictive, 1.0, 9.0), onset=np.full(len(predictive), 5.0), course=course
    )
    step = answers(reference, 1, 0.0).bucket
    after = detector.advance(old, step, minutes=1.0, now=600.0)
    assert (after.onset[predictive] == 600.0).all()
    assert (after.onset[~predictive] == 5.0).all()


def test_what_came_before_counts_with_the_baseline(reference: Baseline):
    """Answers that were as long before are no news; while an alarm stands nothing is taken for usual."""
    bank = PredictiveBank([responses(independent(reference))])
    everyone = np.ones(len(bank.processes), dtype=bool)
    _, seen = bank.advance(answers(reference, 1000, 60.0), bank.start())
    fresh, usual, unusual = bank.start(), seen.begun(everyone, usual=True), seen.begun(everyone, usual=False)
    step = answers(reference, 300, 18.0)
    won = [bank.advance(step, course)[0][longer(bank)].max() for course in (fresh, usual, unusual)]
    assert won[1] < won[0] - 0.2
    assert won[2] == won[0]
    moved = answers(reference, 600, 240.0)
    quiet = bank.advance(answers(reference, 1000, 0.0), bank.start())[1].begun(everyone, usual=True)
    late, soon = (bank.advance(moved, course)[0][longer(bank)].max() for course in (fresh, quiet))
    assert soon > late + 1.0


def test_what_is_left_out_is_not_taken_for_usual(reference: Baseline):
    """Rewards of a changed scorer, whose processes are dropped, do not count with the baseline once it is put right."""
    detector = Detector(reference, 1.0)
    evidence, names = detector.start(), frozenset({"response length"})
    for minute in range(20):
        step = answers(reference, 50, 40.0).bucket
        evidence = detector.advance(evidence, step, minutes=1.0, now=60.0 * minute)
        evidence = detector.without(evidence, names)
    mine = [i for i, p in enumerate(detector.processes) if detector.is_predictive[i] and p.name in names]
    first = int(np.argmax(detector.is_predictive))
    assert not evidence.course.total_before[[i - first for i in mine]].any()
