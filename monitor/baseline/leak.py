"""How much a change of the questions alone moves what ought to be free of them.

Residuals are what a prompt does not explain of its answer. The explanation is linear and coarse, so other questions move
residuals a little although the model is the same. How far is measured on the baseline itself: its exchanges are weighed
as if some kinds of prompts came more often (by landmark, from mildly to wildly), and the largest shift of a residual
is set beside the largest shift of a prompt score.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_TILTS = 120
# Spread of the logarithms of the weights that kinds of prompts get.
_STRENGTHS = (0.5, 1.0, 2.0)
_LEVEL = 0.95
# The largest of some dozens of means lies about so many standard errors out by chance.
_BY_CHANCE = 2.5
FEWEST = 200


def leak(prompt_scores: Floats, residuals: Floats, landmark: NDArray[np.intp], seed: int) -> float:
    """Return the largest residual shift for one unit of the largest prompt shift, at the 95 % point of random tilts.

    `prompt_scores` (n, p) and `residuals` (n, q) are normal scores of the same exchanges, `landmark` int (n,) the kind
    of each prompt. One, the most that is plausible, where there are too few exchanges to tell.
    """
    if len(landmark) < FEWEST:
        return 1.0
    rng = np.random.default_rng(seed)
    kinds = int(landmark.max()) + 1
    strength = np.repeat(_STRENGTHS, _TILTS // len(_STRENGTHS))
    weights = np.exp(strength[:, None] * rng.normal(size=(len(strength), kinds)))[:, landmark]
    weights /= weights.sum(axis=1, keepdims=True)
    noise = _BY_CHANCE * np.sqrt((weights**2).sum(axis=1))
    moved = np.abs(weights @ residuals - residuals.mean(axis=0)).max(axis=1) - noise
    asked = np.abs(weights @ prompt_scores - prompt_scores.mean(axis=0)).max(axis=1)
    return float(np.clip(np.quantile(moved / np.maximum(asked, 1e-6), _LEVEL), 0.0, 1.0))
