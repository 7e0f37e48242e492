"""A reward is compared at like prompts and like answers: what style explains is no news, what it does not is seen sooner."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.baseline.controlled import fit_controlled
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


def test_like_answers_score_zero_and_vary_by_one():
    """Held-out scores of the baseline's own, and those of new answers, are standard normal or flatter."""
    rng = np.random.default_rng(1)
    controlled, own = fit_controlled(*answers(rng, 3000), np.ones(3000, dtype=bool))
    new = controlled.score(*answers(rng, 3000))
    for scores in (own, new):
        assert scores.shape == (3000, 1)
        assert scores.mean() == pytest.approx(0.0, abs=0.08)
        assert scores.std() == pytest.approx(1.0, abs=0.08)


def test_longer_answers_that_are_rewarded_for_it_are_no_better():
    """The reward rises by 0.8 deviations, what is left of it by next to nothing."""
    rng = np.random.default_rng(2)
    controlled, _ = fit_controlled(*answers(rng, 3000), np.ones(3000, dtype=bool))
    assert abs(controlled.score(*answers(rng, 3000, longer=1.0)).mean()) < 0.12


def test_a_fall_at_equal_style_is_larger_beside_what_is_left():
    """A fall of 0.2 is a fifth of the reward's spread and more than half of the spread of what is left."""
    rng = np.random.default_rng(3)
    controlled, _ = fit_controlled(*answers(rng, 3000), np.ones(3000, dtype=bool))
    assert controlled.score(*answers(rng, 3000, worse=0.2)).mean() < -0.5


def test_answers_without_reward_have_no_score():
    """Missing rewards are left out of the fit and score zero; too few leave nothing to learn."""
    rng = np.random.default_rng(4)
    design, scores = answers(rng, 600)
    rewarded = np.arange(600) % 2 == 0
    scores[~rewarded, -1] = np.nan
    controlled, own = fit_controlled(design, scores, rewarded)
    assert not own[~rewarded].any()
    assert own[rewarded].std() > 0.8
    nothing, own = fit_controlled(design[:100], scores[:100], rewarded[:100])
    assert not own.any()
    assert not nothing.score(design, np.nan_to_num(scores)).any()
    assert len(controlled.coefficients) == design.shape[1] + REGRESSORS
