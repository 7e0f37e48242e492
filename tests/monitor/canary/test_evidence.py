"""Bets on paired differences: quiet while the model is the same, quick when it is another, within their own budget."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.canary.answers import DIFFERENT, WATCHED, make_reference, residual_of
from monitor.canary.evidence import FROM_SCORER, Bets
from tests.monitor.canary.sayings import PROMPTS, answers


def until_alarm(bets, reference, made):
    """Bet on answers until the alarm; return how many it took, None if it never came, and the wealth."""
    wealth = bets.start(made[0].time - 60.0)
    for count, each in enumerate(made, start=1):
        residual, different = residual_of(reference, each)
        wealth = bets.advance(wealth, residual, different=different, now=each.time)
        if wealth.since is not None:
            return count, wealth
    return None, wealth


@pytest.mark.parametrize("seed", range(24))
def test_the_same_model_stays_quiet(seed):
    """Twenty-four references, each followed by 240 answers of the same model: no alarm."""
    reference = make_reference(answers(8, seed=seed), len(PROMPTS))
    assert until_alarm(Bets(reference, 1.0), reference, answers(40, seed=seed + 500))[0] is None


@pytest.mark.parametrize("mood", ["curt", "lists"])
def test_another_model_is_found_within_two_hours_at_sixty_an_hour(mood):
    """And what gave it away is named, with the time from which on."""
    reference = make_reference(answers(8, seed=1), len(PROMPTS))
    bets = Bets(reference, 1.0)
    count, wealth = until_alarm(bets, reference, answers(20, seed=2, mood=mood, start_s=1e6))
    assert count is not None
    assert count <= 60
    assert bets.leading(wealth) in {*WATCHED, DIFFERENT}
    assert 1e6 - 60 <= wealth.since <= 1e6 + 60 * count


def test_a_model_without_chance_is_found_by_its_words():
    """Always the same words, then others of the same style: hardly twenty answers."""
    reference = make_reference(answers(8, seed=1, mood="fixed"), len(PROMPTS))
    bets = Bets(reference, 1.0)
    quiet, _ = until_alarm(bets, reference, answers(20, seed=3, mood="fixed"))
    assert quiet is None
    count, wealth = until_alarm(bets, reference, answers(10, seed=2))
    assert count is not None
    assert count <= 30
    assert bets.leading(wealth) == DIFFERENT


def test_the_wealth_of_noise_is_no_more_than_the_time():
    """Drawn scores that are standard normal: the mean wealth over 400 runs stays below the minutes that passed."""
    reference = make_reference(answers(8, seed=1), len(PROMPTS))
    bets = Bets(reference, 1.0)
    edges = np.sort(np.array([residual_of(reference, each)[0] for each in answers(8, seed=1)]), axis=0)
    rng, totals = np.random.default_rng(0), []
    for _ in range(400):
        wealth = bets.start(0.0)
        for minute in range(1, 31):
            drawn = edges[rng.integers(0, len(edges), len(WATCHED)), np.arange(len(WATCHED))]
            wealth = bets.advance(wealth, drawn, different=True, now=60.0 * minute)
        totals.append(np.exp(bets.total_of(wealth)))
    assert np.mean(totals) <= 30.0 * 1.1


def test_what_rests_on_the_scorer_can_be_left_out():
    """A changed reward model moves the reward of every canary and nothing else: without it there is no alarm."""
    reference = make_reference(answers(8, seed=1), len(PROMPTS))
    bets = Bets(reference, 1.0)
    wealth = bets.start(0.0)
    for minute, each in enumerate(answers(30, seed=2), start=1):
        residual, different = residual_of(reference, each)
        residual[WATCHED.index("reward")] -= 1.0
        wealth = bets.advance(wealth, residual, different=different, now=60.0 * minute)
    assert wealth.since is not None
    assert bets.leading(wealth) == "reward"
    assert bets.without(wealth, FROM_SCORER).since is None
    style, _ = until_alarm(bets, reference, answers(20, seed=2, mood="curt"))
    assert style is not None
