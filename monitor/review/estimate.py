"""What reviewed exchanges say about all of them: the share of bad ones, with an interval.

Law of this file: pure. Each reviewed exchange stands for as many as the inverse of its chance to be shown (`sampling`);
their weighted share is a ratio estimate (Hajek 1971), and its interval is Wilson's (1927) at the sample's effective size
(Kish 1965), which stays honest for few reviews and shares near zero, where a normal interval does not. Reviews that are
still open are taken to be like the resolved ones of their weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import norm


class Reviewed(NamedTuple):
    """A resolved exchange: how many it stands for, and whether it was bad."""

    times: float
    bad: bool


class Quality(NamedTuple):
    """Share of bad exchanges with its 95 % interval; how many were reviewed, and how many equally likely they equal."""

    share: float
    low: float
    high: float
    reviewed: int
    effective: float


def bad_share(reviews: Sequence[Reviewed], level: float = 0.95) -> Quality | None:
    """Estimate the share of bad exchanges; None where nothing was reviewed."""
    if not reviews:
        return None
    weights = np.array([review.times for review in reviews])
    bad = np.array([review.bad for review in reviews], dtype=np.float64)
    share = float((weights * bad).sum() / weights.sum())
    effective = _effective(weights, bad, share)
    z = float(norm.ppf(0.5 + level / 2))
    middle = (share + z * z / (2 * effective)) / (1 + z * z / effective)
    half = z / (1 + z * z / effective) * np.sqrt(share * (1 - share) / effective + (z / (2 * effective)) ** 2)
    low, high = max(0.0, middle - float(half)), min(1.0, middle + float(half))
    return Quality(share, low, high, len(reviews), effective)


def _effective(weights: np.ndarray[tuple[int], np.dtype[np.float64]], bad: object, share: float) -> float:
    """Return the size of a simple sample of the same precision: Kish's, or what the residuals show where that is less."""
    kish = float(weights.sum() ** 2 / (weights**2).sum())
    residual = weights * (np.asarray(bad, dtype=np.float64) - share)
    variance = float((residual**2).sum() / weights.sum() ** 2)
    if variance <= 0.0 or not 0.0 < share < 1.0:
        return kish
    return min(kish, max(1.0, share * (1.0 - share) / variance))
