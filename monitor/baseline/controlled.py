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

from monitor.baseline.normal_scores import NormalScores, fit_normal_scores
from monitor.baseline.ridge import regress
from monitor.sketch.layout import AXES
from monitor.text.style import RESPONSE_FEATURES

Floats = NDArray[np.float64]

# With fewer rewards nothing is learnt: the score is zero.
_FEWEST = 200
# Of the response scores, those of style and content come first; the reward comes last.
_REGRESSORS = len(RESPONSE_FEATURES) + AXES


class Controlled(NamedTuple):
    """`coefficients` (prompt design + style + content,) predict the reward's score, `scores` is of what they leave.

    `spread` is the standard deviation of what they leave, in those of the reward; 0 where nothing was learnt.
    """

    coefficients: Floats
    scores: NormalScores
    spread: float

    def score(self, design: Floats, response_scores: Floats) -> Floats:
        """Return the scores (n, 1) of n answers from the design of their prompts and their response scores (n, p)."""
        left = response_scores[:, -1:] - _beside(design, response_scores) @ self.coefficients[:, None]
        return self.scores.transform(left)


def fit_controlled(
    design: Floats, response_scores: Floats, rewarded: NDArray[np.bool_]
) -> tuple[Controlled, Floats]:
    """Learn from n answers, the last of whose p response scores is the reward's; return their own scores (n, 1), too."""
    regressors, scores = _beside(design, response_scores), np.zeros((len(design), 1))
    if rewarded.sum() < _FEWEST:
        nothing = NormalScores(np.full((1, 1), np.inf), np.zeros((1, 2)))
        return Controlled(np.zeros(regressors.shape[1]), nothing, 0.0), scores
    coefficients, left = regress(regressors[rewarded], response_scores[rewarded, -1:])
    functions = fit_normal_scores(left)
    scores[rewarded] = functions.transform(left)
    return Controlled(coefficients[:, 0], functions, float(left.std())), scores


def _beside(design: Floats, response_scores: Floats) -> Floats:
    return np.hstack([design, response_scores[:, :_REGRESSORS]])
