"""A reward is compared at like prompts and like answers: what style explains is no news, what it does not is seen sooner."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.baseline.controlled import fit_controlled
from monitor.baseline.folds import Arrivals
from monitor.baseline.normal_scores import fit_normal_scores
from monitor.sketch.layout import AXES, RESPONSE_SCORES
from monitor.text.style import RESPONSE_FEATURES

REGRESSORS = len(RESPONSE_FEATURES) + AXES


def answers(rng: np.random.Generator, n: int, *, longer: float = 0.0, worse: float = 0.0):
    """Draw designs and scores of n answers whose reward goes with their first feature, the length, and with a prompt."""
    design = np.hstack([np.ones((n, 1)), rng.standard_normal((n, 3))])
    scores = rng.standard_normal((n, len(RESPONSE_SCORES) - 1))
    scores[:, 0] += longer
    scores[:, -1] = 0.3 * design[:, 1] + 0.8 * scores[:, 0] + 0.3 * rng.standard_normal(n) - worse
    return design, scores


def fitted(design, scores):
    """Learn from answers, whose rewards are their scores: normal already."""
    return fit_controlled(design, scores, scores[:, -1], Arrivals.at(np.zeros(len(scores))))


def test_like_answers_score_zero_and_vary_by_one():
    """Held-out scores of the baseline's own, and those of new answers, are standard normal or flatter."""
    rng = np.random.default_rng(1)
    controlled, own = fitted(*answers(rng, 3000))
    new = controlled.score(*answers(rng, 3000))
    for scores in (own, new):
        assert scores.shape == (3000, 1)
        assert scores.mean() == pytest.approx(0.0, abs=0.08)
        assert scores.std() == pytest.approx(1.0, abs=0.08)


def test_longer_answers_that_are_rewarded_for_it_are_no_better():
    """The reward rises by 0.8 deviations, what is left of it by next to nothing."""
    rng = np.random.default_rng(2)
    controlled, _ = fitted(*answers(rng, 3000))
    assert abs(controlled.score(*answers(rng, 3000, longer=1.0)).mean()) < 0.12


def test_a_fall_at_equal_style_is_larger_beside_what_is_left():
    """A fall of 0.2 is a fifth of the reward's spread and more than half of the spread of what is left."""
    rng = np.random.default_rng(3)
    controlled, _ = fitted(*answers(rng, 3000))
    assert controlled.score(*answers(rng, 3000, worse=0.2)).mean() < -0.5


def test_answers_without_reward_have_no_score():
    """Missing rewards are left out of the fit and score zero; too few leave nothing to learn."""
    rng = np.random.default_rng(4)
    design, scores = answers(rng, 600)
    rewarded = np.arange(600) % 2 == 0
    scores[~rewarded, -1] = np.nan
    controlled, own = fitted(design, scores)
    assert not own[~rewarded].any()
    assert own[rewarded].std() > 0.8
    nothing, own = fitted(design[:100], scores[:100])
    assert not own.any()
    assert not nothing.score(design, np.nan_to_num(scores)).any()
    assert len(controlled.coefficients) == design.shape[1] + REGRESSORS


def rated(rng: np.random.Generator, n: int, good: float, stars: int):
    """Draw designs, scores and rewards of n answers that have up to so many stars, whatever they look like."""
    design, scores = answers(rng, n)
    rewards = rng.binomial(stars, good, n).astype(float)
    return design, scores, rewards


@pytest.mark.parametrize(("good", "worse", "stars"), [(0.7, 0.6, 1), (0.8, 0.7, 4), (0.5, 0.45, 60)])
def test_a_fall_is_as_large_as_it_is_whatever_values_a_reward_takes(good: float, worse: float, stars: int):
    """Thumbs and stars have scores that vary by less than one; what a fall of them amounts to is told in their own unit."""
    rng = np.random.default_rng(5)
    design, scores, rewards = rated(rng, 20_000, good, stars)
    of_rewards = fit_normal_scores(rewards[:, None])
    scores[:, -1:] = of_rewards.transform(rewards[:, None])
    controlled, own = fit_controlled(design, scores, rewards, Arrivals.at(np.zeros(len(scores))))
    design, scores, lower = rated(rng, 20_000, worse, stars)
    scores[:, -1:] = of_rewards.transform(lower[:, None])
    told = controlled.spread * rewards.std() * (controlled.score(design, scores).mean() - own.mean())
    assert told == pytest.approx(lower.mean() - rewards.mean(), rel=0.2)


def test_rewards_that_are_all_alike_teach_nothing():
    """Nothing is left over, so nothing can be said of what is left."""
    design, scores = answers(np.random.default_rng(6), 600)
    scores[:, -1] = 0.0
    controlled, own = fit_controlled(design, scores, np.ones(600), Arrivals.at(np.zeros(len(scores))))
    assert controlled.spread == 0.0
    assert not own.any()
