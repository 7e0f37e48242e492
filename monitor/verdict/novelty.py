"""The share of prompts that fall where the baseline had none.

Without change the novelty of a prompt is uniform on [0, 1] (see `quantiser`); prompts of a new topic crowd near 1.
If a share s is new and lies beyond rank t, then the share below t is (1 - s) t, whatever the new topic looks like:
the estimate of the share of true nulls among p-values (Storey 2002). The size is read at the median: a lower rank would
make it vaguer, and beyond a higher one a part of a new topic does not lie. Which rank that is must not depend on the
window: an estimate chosen among several for looking best has no interval of its own.

The evidence may look at several ranks, because a p-value can pay for that (Bonferroni). The ranks rest on as many
held-out distances as the baseline has, so the share below t that is to be expected is itself uncertain: by
t (1 - t) / m, and to one side more than to the other (an order statistic has a beta distribution).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, norm

from monitor.verdict.share_interval import Z, non_negative, wilson

Floats = NDArray[np.float64]
_RANKS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
_MEDIAN = 0.5
# No share below a rank is taken to be surely none or all.
_LEAST = 0.01


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

    `baseline_size` counts the held-out prompts that the ranks rest on. `usual` (cells,) is the histogram of prompts as
    the baseline had them, at the window's hours where it knows them; without it ranks are expected to be uniform.
    """
    n = float(ranks.sum())
    if not n:
        return None
    below = np.cumsum(ranks) / n
    cells = len(ranks)
    uniform = np.arange(1, cells + 1) / cells
    expected = uniform if usual is None or not usual.sum() else np.cumsum(usual) / usual.sum()
    expected = np.clip(expected, _LEAST, 1.0 - _LEAST)
    known = overdispersion / max(1, baseline_size)
    spread = overdispersion / n + known
    tail = [
        _tail(float(below[cell]) + 0.5 / n, float(expected[cell]), spread)
        for cell in (round(rank * cells) - 1 for rank in _RANKS)
    ]
    median = round(_MEDIAN * cells) - 1
    seen, half = float(below[median]), float(expected[median])
    value = 1.0 - seen / half
    error = float(np.sqrt(spread * (1.0 - half) / half))
    low, high = _above_nothing(value, _interval(seen, n / overdispersion, half, known))
    return NewShare(
        value=float(np.clip(value, 0.0, 1.0)),
        low=float(np.clip(low, 0.0, 1.0)),
        high=float(np.clip(high, 0.0, 1.0)),
        # Of a normal variable that is cut off at zero.
        null_mean=min(1.0, error * float(norm.pdf(0.0))),
        null_high=min(1.0, error * float(norm.ppf(0.999))),
        p_value=min(1.0, len(_RANKS) * min(tail)),
    )


def _interval(seen: float, size: float, half: float, known: float) -> tuple[float, float]:
    """Return the limits of 1 - seen / half: Wilson's of `seen` and the baseline's own error, squared and added.

    `known` is the variance of `half` over half (1 - half) (Newcombe 1998, method 10, of a ratio).
    """
    lower, upper = wilson(np.float64(seen), np.float64(size))
    own = Z * np.sqrt(known * half * (1.0 - half)) * seen / half
    return (
        1.0 - (seen + float(np.hypot(upper - seen, own))) / half,
        1.0 - (seen - float(np.hypot(seen - lower, own))) / half,
    )


def _above_nothing(value: float, usual: tuple[float, float]) -> tuple[float, float]:
    """Return the limits of a share that cannot be negative from those that know nothing of that."""
    down, up = ((limit - value) / Z for limit in usual)
    low = -down * non_negative(value / -down)[0] if down else value
    high = up * non_negative(value / up)[1] if up else value
    return low, high


def _tail(seen: float, t: float, spread: float) -> float:
    """Return the chance of no larger a share below rank t, from the beta distribution of variance t (1 - t) spread."""
    weight = max(1.0 / spread - 1.0, 1e-3)
    return float(beta.cdf(min(seen, 1.0), t * weight, (1.0 - t) * weight))
