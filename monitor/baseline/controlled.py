"""The style-controlled reward: what is left of a reward when prompt, style and content of the answer are accounted for.

Most of a reward's spread goes with how long an answer is, how it looks and what it is about. A reward that falls while
all of these stay as they were is seen much sooner in what they leave over, whose spread is smaller; and a reward that
rises because answers became longer does not rise there (Dubois et al. 2024, "Length-Controlled AlpacaEval").

Law: pure, and held-out like every other residual. A normal score of what is left, zero where there is no reward.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.baseline.folds import Arrivals
from monitor.baseline.normal_scores import NormalScores, fit_normal_scores
from monitor.baseline.ridge import regress
from monitor.sketch.layout import AXES
from monitor.text.style import RESPONSE_FEATURES

Floats = NDArray[np.float64]

# With fewer rewards nothing is learnt: the score is zero.
_FEWEST = 200
# Below this covariance values are all alike but for rounding.
_ALIKE = 1e-12
# Of the response scores, those of style and content come first; the reward comes last.
_REGRESSORS = len(RESPONSE_FEATURES) + AXES


class Controlled(NamedTuple):
    """`coefficients` (prompt design + style + content,) predict the reward's score, `scores` is of what they leave.

    `spread` is by how many standard deviations of the reward it moves where the score moves by one, other things equal:
    the deviation of what they leave, of continuous rewards. 0 where nothing was learnt.
    """

    coefficients: Floats
    scores: NormalScores
    spread: float

    def score(self, design: Floats, response_scores: Floats) -> Floats:
        """Return the scores (n, 1) of n answers from the design of their prompts and their response scores (n, p)."""
        left = response_scores[:, -1:] - _beside(design, response_scores) @ self.coefficients[:, None]
        return self.scores.transform(left)


def fit_controlled(
    design: Floats, response_scores: Floats, rewards: Floats, arrivals: Arrivals
) -> tuple[Controlled, Floats]:
    """Learn from n answers, the last of whose p response scores is the reward's; return their own scores (n, 1), too.

    `rewards` (n,), NaN where there is none; neighbours are held out together.
    """
    rewarded = ~np.isnan(rewards)
    regressors, scores = _beside(design, response_scores), np.zeros((len(design), 1))
    if rewarded.sum() < _FEWEST:
        nothing = NormalScores(np.full((1, 1), np.inf), np.zeros((1, 2)))
        return Controlled(np.zeros(regressors.shape[1]), nothing, 0.0), scores
    coefficients, left = regress(
        regressors[rewarded], response_scores[rewarded, -1:], arrivals.take(rewarded)
    )
    functions = fit_normal_scores(left)
    scores[rewarded] = functions.transform(left)
    known = rewards[rewarded]
    spread = _worth(left[:, 0], scores[rewarded, 0]) * _worth(known, response_scores[rewarded, -1])
    return Controlled(coefficients[:, 0], functions, spread / float(known.std()) if spread else 0.0), scores


def _worth(values: Floats, scores: Floats) -> float:
    """Return by how much the mean of values (n,) moves where that of their scores moves by one; 0 where they are all alike.

    Scores of few different values, as of a reward of 0 or 1, vary by less than one, and what is left of them is nothing
    like normal: a deviation of the one is none of the other.
    """
    together = float(np.cov(values, scores, ddof=0)[0, 1])
    return float(values.var()) / together if together > _ALIKE else 0.0


def _beside(design: Floats, response_scores: Floats) -> Floats:
    return np.hstack([design, response_scores[:, :_REGRESSORS]])
