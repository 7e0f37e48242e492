"""The interval of a change of a share, on Cohen's scale of angles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import beta


class Limits(NamedTuple):
    """A share as an angle (Cohen's), and its 95 % interval."""

    value: float
    low: float
    high: float


def share_limits(hits: int, of: int, dispersion: float) -> Limits:
    """Return them by Jeffreys' interval, which holds at a share of none, too (Brown, Cai & DasGupta 2001)."""
    a, b = hits / dispersion, (of - hits) / dispersion
    low = beta.ppf(0.025, a + 0.5, b + 0.5) if hits else 0.0
    high = beta.ppf(0.975, a + 0.5, b + 0.5) if hits < of else 1.0
    return Limits(*(float(2 * np.arcsin(np.sqrt(share))) for share in (hits / of, low, high)))


def difference(after: Limits, before: Limits) -> tuple[float, float]:
    """Return the interval of a difference from those of its parts (Newcombe 1998, method 10)."""
    change = after.value - before.value
    return (
        change - float(np.hypot(after.value - after.low, before.high - before.value)),
        change + float(np.hypot(after.high - after.value, before.value - before.low)),
    )
