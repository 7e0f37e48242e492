"""The share of prompts that fall where the baseline had none.

Without change the novelty of a prompt is uniform on [0, 1] (see `quantiser`); prompts of a new topic crowd near 1.
If a share s is new and lies beyond rank t, then the share below t is (1 - s) t, whatever the new topic looks like:
the estimate of the share of true nulls among p-values (Storey 2002), read at several t with its standard error.

The ranks rest on as many held-out distances as the baseline has, so the share below t that is to be expected is itself
uncertain: by t (1 - t) / m, and to one side more than to the other (an order statistic has a beta distribution). The
p-value takes both in.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

Floats = NDArray[np.float64]
_RANKS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
# Looking at several ranks and taking the best one has its price; these were found by simulation: the mean and the
# 99.9 % point without change, in units of 1 / sqrt(n), and the half-width of a 95 % interval in standard errors.
_NULL_MEAN, _NULL_HIGH, _HALF_WIDTH = 0.7, 4.3, 2.3


class NewShare(NamedTuple):
    """Share of new prompts: estimate, 95 % interval, mean and 99.9 % point without change, one-sided p-value."""

    value: float
    low: float
    high: float
    null_mean: float
    null_high: float
    p_value: float


def new_share(
    ranks: Floats, baseline_size: int, overdispersion: float = 1.0, usual: Floats | None = None
) -> NewShare | None:
    """Estimate from a histogram (cells,) of novelty ranks; None when it is empty.

    `baseline_size` counts the held-out prompts that the ranks rest on. `usual` (cells,) is the histogram that the
    window's hours lead one to expect; without it ranks are expected to be uniform.
    """
    n = float(ranks.sum())
    if not n:
        return None
    below = np.cumsum(ranks) / n
    cells = len(ranks)
    uniform = np.arange(1, cells + 1) / cells
    expected = uniform if usual is None or not usual.sum() else np.cumsum(usual) / usual.sum()
    spread = overdispersion * (1.0 / n + 1.0 / max(1, baseline_size))
    share, error, tail = [], [], []
    for rank in _RANKS:
        cell = round(rank * cells) - 1
        seen, t = float(below[cell]), float(np.clip(expected[cell], 0.01, 0.99))
        share.append(1.0 - seen / t)
        error.append(np.sqrt(spread * max(seen * (1.0 - seen), 0.25 / n)) / t)
        tail.append(_tail(seen + 0.5 / n, t, spread))
    # The rank whose estimate is best supported; Bonferroni over the ranks pays for having looked at all.
    best = int(np.argmax(np.array(share) - error))
    p_value = min(1.0, len(_RANKS) * min(tail))
    return NewShare(
        value=float(np.clip(share[best], 0.0, 1.0)),
        low=float(np.clip(share[best] - _HALF_WIDTH * error[best], 0.0, 1.0)),
        high=float(np.clip(share[best] + _HALF_WIDTH * error[best], 0.0, 1.0)),
        null_mean=float(min(1.0, _NULL_MEAN * np.sqrt(spread))),
        null_high=float(min(1.0, _NULL_HIGH * np.sqrt(spread))),
        p_value=p_value,
    )


def _tail(seen: float, t: float, spread: float) -> float:
    """Return the chance of no larger a share below rank t, from the beta distribution of variance t (1 - t) spread."""
    weight = max(1.0 / spread - 1.0, 1e-3)
    return float(beta.cdf(min(seen, 1.0), t * weight, (1.0 - t) * weight))
