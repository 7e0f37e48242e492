"""Jensen-Shannon divergence of two histograms, with what pure chance would show beside it.

Base 2, so in [0, 1] (Lin 1991). Under "no change" the divergence of two samples is not zero: by the χ²
approximation JSD(nats) = X² (n + m) / (8 n m) with X² of K - 1 degrees of freedom, so its mean is
(K - 1)(1/n + 1/m) / 8. The overdispersion multiplies X² (Rao & Scott 1981).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

Floats = NDArray[np.float64]


class Divergence(NamedTuple):
    """A divergence, its mean and 99.9 % point without change, the p-value, and what exceeds that mean."""

    value: float
    null_mean: float
    null_high: float
    p_value: float
    excess: float


def jensen_shannon(p: Floats, q: Floats) -> float:
    """Return the divergence of two distributions (K,), base 2."""
    middle = (p + q) / 2
    return float(max(0.0, entropy(middle) - (entropy(p) + entropy(q)) / 2))


def entropy(p: Floats) -> float:
    """Return the Shannon entropy in bits."""
    positive = p[p > 0]
    return float(-(positive * np.log2(positive)).sum())


def compare_histograms(baseline: Floats, window: Floats, overdispersion: float = 1.0) -> Divergence | None:
    """Compare two histograms of counts (K,); None when either is empty."""
    m, n = float(baseline.sum()), float(window.sum())
    if not m or not n:
        return None
    used = (baseline + window) > 0
    p, q = baseline[used] / m, window[used] / n
    pooled = (baseline[used] + window[used]) / (m + n)
    degrees = max(1, int(used.sum()) - 1)
    statistic = n * m / (n + m) * float(((q - p) ** 2 / pooled).sum()) / overdispersion
    scale = float(overdispersion) * (1 / n + 1 / m) / (8 * math.log(2))
    value = jensen_shannon(p, q)
    null_mean = min(1.0, degrees * scale)
    null_high = min(1.0, float(chi2.ppf(0.999, degrees)) * scale)
    return Divergence(
        value, null_mean, null_high, float(chi2.sf(statistic, degrees)), max(0.0, value - null_mean)
    )
