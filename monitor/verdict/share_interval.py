"""Intervals of shares, of means of what cannot be negative, and of a difference of two.

Close to nothing the usual interval of a mean errs to one side: a rare thing that was seen too seldom also seems to
vary too little. Wilson's and Jeffreys' intervals of a share do not (Brown, Cai & DasGupta 2001). A quantity x >= 0 is at
least as skewed as one that is either 0 or c = E[x^2] / E[x] with the same mean and variance (its skewness is at least
cv - 1 / cv), so where that is skewed to the right its mean has the interval of the share E[x] / c.

What cannot be negative and is estimated by a number that can has the interval of Feldman & Cousins (1998): it is never
empty, goes over from an upper limit to two sides by itself, and holds nothing as often as it says, no oftener.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, norm

Floats = NDArray[np.float64]
Z = float(norm.ppf(0.975))


class Limits(NamedTuple):
    """A share as an angle (Cohen's), and its 95 % interval."""

    value: float
    low: float
    high: float


class MeanLimits(NamedTuple):
    """Means (p,) and the limits of their 95 % intervals."""

    value: Floats
    low: Floats
    high: Floats

    def widened(self, factor: Floats) -> MeanLimits:
        """Return these with intervals so many times as wide."""
        low, high = self.value - self.low, self.high - self.value
        return MeanLimits(self.value, self.value - factor * low, self.value + factor * high)


def share_limits(hits: int, of: int, dispersion: float) -> Limits:
    """Return them by Jeffreys' interval, which holds at a share of none, too (Brown, Cai & DasGupta 2001)."""
    a, b = hits / dispersion, (of - hits) / dispersion
    low = beta.ppf(0.025, a + 0.5, b + 0.5) if hits else 0.0
    high = beta.ppf(0.975, a + 0.5, b + 0.5) if hits < of else 1.0
    return Limits(*(float(2 * np.arcsin(np.sqrt(share))) for share in (hits / of, low, high)))


def wilson(share: Floats | np.float64, of: Floats | np.float64) -> tuple[Any, Any]:
    """Return the limits of shares among so many independent ones, of the same shape (Wilson 1927)."""
    shrunk = Z**2 / of
    centre = share + shrunk / 2.0
    half = Z * np.sqrt(share * (1.0 - share) / of + shrunk / of / 4.0)
    return (centre - half) / (1.0 + shrunk), (centre + half) / (1.0 + shrunk)


def mean_limits(mean: Floats, square: Floats, of: Floats, unit: Floats) -> MeanLimits:
    """Return the limits of means (p,) of what cannot be negative, from its mean squares and numbers of independent ones.

    `unit` (p,): the size c of one that is not nothing, where `mean` is none.
    """
    spread = np.sqrt(np.maximum(square - mean**2, 0.0))
    scale = np.where(mean > 0, square / np.where(mean > 0, mean, 1.0), unit)
    share = np.clip(mean / np.where(scale > 0, scale, 1.0), 0.0, 1.0)
    low, high = wilson(share, of)
    rare = (mean >= 0) & (share < 0.5)
    error = Z * spread / np.sqrt(of)
    return MeanLimits(
        mean, np.where(rare, low * scale, mean - error), np.where(rare, high * scale, mean + error)
    )


def least_skewness(mean: Floats, square: Floats) -> Floats:
    """Return the smallest skewness (p,) that what cannot be negative may have with these moments; 0 for less than 0."""
    share = np.clip(mean**2 / np.where(square > 0, square, 1.0), 1e-12, 1.0)
    rare = (mean > 0) & (share < 0.5)
    return np.where(rare, (1.0 - 2.0 * share) / np.sqrt(share * (1.0 - np.where(rare, share, 0.0))), 0.0)


def difference(after: Limits | MeanLimits, before: Limits | MeanLimits) -> tuple[Any, Any]:
    """Return the interval of a difference from those of its parts (Newcombe 1998, method 10)."""
    change = after.value - before.value
    return (
        change - np.hypot(after.value - after.low, before.high - before.value),
        change + np.hypot(after.high - after.value, before.value - before.low),
    )


def non_negative(x: float) -> tuple[float, float]:
    """Return the limits of a mean >= 0 that is estimated by x with standard error 1, normally (Feldman & Cousins 1998)."""
    mean, least, most = _accepted()
    low = float(np.interp(x, most, mean)) if x < most[-1] else x - Z
    high = float(np.interp(x, least, mean)) if x < 0.0 else x + Z
    return low, high


@cache
def _accepted() -> tuple[Floats, Floats, Floats]:
    """Return means (g,) and the `least` and `most` (g,) estimates that speak for them best by the ratio of likelihoods.

    Of an estimate x < 0 the best mean is 0, so x is as likely beside its best mean as mean + k is where
    x = (mean - k^2 / mean) / 2. From a mean of Z on both limits are the usual ones.
    """
    mean = np.linspace(0.0, Z, 200)[1:]
    low, high = np.full(len(mean), 1.6), np.full(len(mean), Z)
    for _ in range(40):
        k = (low + high) / 2.0
        enough = norm.cdf(k) - norm.cdf((mean - k**2 / mean) / 2.0 - mean) >= 0.95
        low, high = np.where(enough, low, k), np.where(enough, k, high)
    least = (mean - high**2 / mean) / 2.0
    first = float(norm.ppf(0.95))
    return np.append(0.0, mean), np.append(-np.inf, least), np.append(first, mean + high)
