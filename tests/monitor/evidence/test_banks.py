"""Every bank's bets are fair or worse as long as nothing has changed, hours and dependence included."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.baseline import Baseline
from monitor.baseline.neighbourhoods import neighbourhoods
from monitor.baseline.seasonality import Seasonality
from monitor.evidence.banks import CellBank, Delta, RateBank, TopicBank
from monitor.evidence.edetector import NOWHERE, Detector, Visit
from monitor.evidence.repetition import COUNTERS
from monitor.sketch.bucket import Bucket
from monitor.sketch.cells import CELLS
from monitor.sketch.hours import HOURS
from monitor.sketch.layout import PROMPT_SCORES, RATES, SCALE


def with_hours(baseline: Baseline, means: NDArray[np.float32], seen: float, prior: float) -> Baseline:
    """Return the baseline as if it told hours of the week apart."""
    season = Seasonality("hour_of_week", "", "UTC", np.full(HOURS, seen), means, prior, 0.0)
    return dataclasses.replace(baseline, seasonality=season)


def usual(baseline: Baseline) -> NDArray[np.float32]:
    """Return the baseline's mean for every hour."""
    mean = baseline.reference.vector / baseline.size
    return np.tile(mean.astype(np.float32), (HOURS, 1))


def prompts(baseline: Baseline, hour: int, n: int, total: float) -> Bucket:
    """Make a bucket of n exchanges of an hour whose prompt scores sum to `total` each."""
    bucket = Bucket.empty(baseline.id, baseline.shape)
    layout = bucket.layout
    for name in ("exchanges", "prompts"):
        layout.add(bucket.vector, name, n)
    bucket.vector[layout.fields["hours"].start + hour] = n
    field = layout.fields["prompt_scores"]
    bucket.vector[field.start : field.stop] = round(SCALE * total)
    return bucket


def test_what_an_hour_leads_one_to_expect_wins_nothing(reference: Baseline):
    """A night that is as nights are wins no bet that the same scores would win by day."""
    means = usual(reference)
    layout = reference.reference.layout
    field, place = layout.fields["prompt_scores"], 3
    means[5, field.start + place] += np.float32(0.8 * SCALE)
    detector = Detector(with_hours(reference, means, 1e9, 1.0), 1.0)
    mine = [i for i, p in enumerate(detector.processes) if p.name == PROMPT_SCORES[place] and p.sign > 0]
    night, day = (detector.bet(prompts(reference, hour, 50, 40.0))[0][mine] for hour in (5, 12))
    assert day.max() > 5.0
    assert night.max() < 0.0


def test_each_part_of_an_hour_pays_for_its_error(reference: Baseline):
    """However an hour is cut into steps, its exchanges pay for n + n² v in all."""
    detector = Detector(with_hours(reference, usual(reference), 40.0, 60.0), 1.0)
    cuts = np.array([0, 7, 8, 60, 200])
    visit, course, parts = NOWHERE, None, []
    for start, end in pairwise(cuts.tolist()):
        part = prompts(reference, 9, end - start, 0.0)
        won, course = detector.bet(part, visit, course)
        parts.append(won)
        visit = detector.visit_after(visit, part)
    assert visit == Visit(9, 200.0)
    whole = detector.bet(prompts(reference, 9, 200, 0.0))[0]
    mine = [i for i, p in enumerate(detector.processes) if p.family == "prompt"]
    assert np.sum(parts, axis=0)[mine] == pytest.approx(whole[mine])
    assert detector.visit_after(visit, prompts(reference, 10, 3, 0.0)) == Visit(10, 3.0)


def test_errors_of_hours_do_not_pay(reference: Baseline):
    """Hours whose expectation errs as much as it says give wealth whose mean is at most one."""
    seen = 2.25
    detector = Detector(with_hours(reference, usual(reference), seen, 1e-9), 1.0)
    mine = [i for i, p in enumerate(detector.processes) if p.name == PROMPT_SCORES[0]]
    rng, n, wealth = np.random.default_rng(1), 3, []
    for _ in range(6000):
        error = rng.standard_normal() / np.sqrt(seen)
        total = n * error + np.sqrt(n) * rng.standard_normal()
        wealth.append(detector.bet(prompts(reference, 9, n, total))[0][mine])
    assert np.exp(np.array(wealth)).mean(axis=0).max() < 1.1


def drawn(baseline: Baseline, rng: np.random.Generator, n: int, rates: NDArray[np.float64]) -> Bucket:
    """Draw a bucket with these rates and evenly spread prompts and users."""
    bucket = Bucket.empty(baseline.id, baseline.shape)
    layout = bucket.layout
    for name in ("exchanges", "prompts", "answers"):
        layout.add(bucket.vector, name, n)
    for (_, name, _), rate in zip(RATES, rates, strict=True):
        layout.add(bucket.vector, name, int(rng.binomial(n, rate)))
    for field in COUNTERS.values():
        layout.add(bucket.vector, field, np.bincount(rng.integers(0, CELLS, n), minlength=CELLS))
    return bucket


def test_rates_and_cells_are_fair_without_change(reference: Baseline):
    """Likelihood ratios at the baseline's own rates have a mean of at most one."""
    rng = np.random.default_rng(2)
    count = reference.reference.count
    rates = np.array([count(name) / max(1, count(total)) for _, name, total in RATES])
    bank, cells = RateBank(reference), CellBank(with_users(reference))
    won, held = [], []
    for _ in range(1500):
        delta = Delta(drawn(reference, rng, 20, rates), None, 0.0)
        won.append(bank.log_e_values(delta))
        held.append(cells.log_e_values(delta))
    assert np.exp(np.array(won)).mean(axis=0).max() < 1.1
    assert np.exp(np.array(held)).mean(axis=0).max() < 1.1


@pytest.mark.parametrize("hits", [0, 20])
def test_what_is_always_so_at_an_hour_is_no_news_but_a_number(reference: Baseline, hits: int):
    """Where all answers are cut off, because they may have one token, such answers win nothing, and others are no fault."""
    means = usual(reference)
    fields = reference.reference.layout.fields
    means[:, fields["truncated"].start] = means[:, fields["exchanges"].start]
    baseline = with_hours(reference, means, 1e9, 1.0)
    bank = RateBank(baseline)
    bucket = prompts(reference, 9, 20, 0.0)
    bucket.layout.add(bucket.vector, "truncated", hits)
    expected = baseline.seasonality.expected(bucket.read("hours"))
    won = bank.log_e_values(Delta(bucket, expected, 0.0))
    assert np.isfinite(won).all()
    mine = [i for i, process in enumerate(bank.processes) if process.name == "truncated"]
    assert won[mine].max() < 1e-3


def with_users(baseline: Baseline) -> Baseline:
    """Return the baseline as if its exchanges had users, evenly many in each cell."""
    vector = baseline.reference.vector.copy()
    layout = baseline.reference.layout
    layout.add(vector, "user_cells", np.full(CELLS, 12, dtype=np.intp))
    return dataclasses.replace(baseline, reference=Bucket(baseline.id, baseline.shape, vector))


def test_one_user_who_fills_the_traffic_is_bet_on(reference: Baseline):
    """Forty exchanges of one user among a hundred win; without users in the baseline nothing is known."""
    bucket = drawn(reference, np.random.default_rng(3), 60, np.zeros(len(RATES)))
    bucket.vector[bucket.layout.fields["user_cells"].start + 17] += 40
    known = CellBank(with_users(reference)).log_e_values(Delta(bucket, None, 0.0))
    assert known.max() > 10.0
    assert np.argmax(known) // 3 == CELLS + 17
    unknown = CellBank(reference).log_e_values(Delta(bucket, None, 0.0))
    assert not unknown[3 * CELLS :].any()


def test_a_missing_reward_is_not_counted(reference: Baseline):
    """Answers without rewards neither win nor lose a bet on the reward."""
    bucket = Bucket.empty(reference.id, reference.shape)
    for name in ("exchanges", "supported", "answers"):
        bucket.layout.add(bucket.vector, name, 50)
    detector = Detector(reference, 1.0)
    won = dict(zip([p.name for p in detector.processes], detector.bet(bucket)[0], strict=True))
    assert won["reward"] == 0.0
    assert won["response length"] < 0.0


def far_prompts(baseline: Baseline, n: int, at: NDArray[np.intp], each: int) -> Bucket:
    """Make a bucket of n prompts, so many of them far at each of some landmarks."""
    bucket = Bucket.empty(baseline.id, baseline.shape)
    bucket.layout.add(bucket.vector, "prompts", n)
    bucket.vector[bucket.layout.fields["far_prompts"].start + at] = each
    return bucket


def test_a_topic_that_spreads_over_neighbours_is_seen_at_the_neighbourhood(reference: Baseline):
    """The same far prompts win more together, at a group of landmarks, than those at any one of them do."""
    levels = neighbourhoods(reference.prompt.quantiser.landmarks)
    coarsest = levels[-1]
    group = int(np.bincount(coarsest).argmax())
    at = np.flatnonzero(coarsest == group)
    assert len(at) >= 4
    won = TopicBank(reference).log_e_values(Delta(far_prompts(reference, 400, at, 20), None, 0.0))
    by_cell = won.reshape(-1, 5).max(axis=1)
    singles = len(levels[0])
    assert by_cell[-len(np.unique(coarsest)) + group] == by_cell.max() > by_cell[:singles].max() + 10.0


def test_far_prompts_as_usual_are_fair(reference: Baseline):
    """Likelihood ratios at the baseline's own counts of far prompts have a mean of at most one."""
    rng = np.random.default_rng(4)
    of = float(reference.reference.read("prompt_ranks").sum())
    share = reference.reference.read("far_prompts") / of
    bank, won = TopicBank(reference), []
    for _ in range(1500):
        bucket = far_prompts(reference, 40, np.zeros(0, dtype=np.intp), 0)
        counts = rng.multinomial(40, [*share, 1.0 - share.sum()])[:-1]
        place = bucket.layout.fields["far_prompts"]
        bucket.vector[place.start : place.stop] = counts
        won.append(bank.log_e_values(Delta(bucket, None, 0.0)))
    assert np.exp(np.array(won)).mean(axis=0).max() < 1.2


def test_an_hour_like_all_others_has_their_share_of_far_prompts(reference: Baseline):
    """Far prompts of one landmark win no more where hours are told apart and do not differ: the share is the same one."""
    at = np.array([int(reference.reference.read("far_prompts").argmax())])
    bucket = far_prompts(reference, 400, at, 30)
    bucket.vector[bucket.layout.fields["hours"].start + 5] = 400
    season = with_hours(reference, usual(reference), 1e9, 1.0).seasonality
    bank = TopicBank(reference)
    by_hour, whole = (
        bank.log_e_values(Delta(bucket, expected, 0.0))
        for expected in (season.expected(bucket.read("hours")), None)
    )
    assert whole.max() > 5.0
    assert (by_hour <= whole + 1e-6).all()
