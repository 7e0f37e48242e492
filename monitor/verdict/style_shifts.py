"""How far each habit of style has moved, in standard deviations of the baseline."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.baseline.frozen import Baseline
from monitor.sketch.bucket import Bucket
from monitor.verdict.share_interval import Z, difference, least_skewness, mean_limits

Floats = NDArray[np.float64]


class StyleShifts(NamedTuple):
    """Standardised shift of each style feature of the responses, its standard error without change, its interval.

    A share that rises from nothing varies more than it did: what holds now is known less well than what held before, so
    the interval rests on the window's own spread and the error does not.
    """

    shift: Floats
    error: Floats
    low: Floats
    high: Floats


def style_shifts(baseline: Baseline, window: Bucket) -> StyleShifts | None:
    """Return how far each style feature of the responses has moved; None where there are none."""
    n, m = window.count("answers"), baseline.reference.count("answers")
    if not n or not m:
        return None
    reference = baseline.reference.read("response_style") / m
    square = baseline.reference.read("response_style_sq") / m
    spread = np.sqrt(np.maximum(square - reference**2, 0.0))
    mine, own_square = window.read("response_style") / n, window.read("response_style_sq") / n
    own = np.sqrt(np.maximum(own_square - mine**2, 0.0))
    # A feature that the baseline never showed has no spread of its own: the window's stands in.
    scale = np.maximum(spread, np.where(spread > 1e-6, 0.0, np.maximum(own, 1e-6)))
    dispersion = baseline.overdispersion["response"][: len(reference)]
    error = np.sqrt(dispersion * (1 / n + (spread / scale) ** 2 / m))
    shift = (mine - reference) / scale
    # How large one is that is not nothing, where one side has none.
    both = mine + reference
    unit = (own_square + square) / np.where(both > 0, both, 1.0)
    before = mean_limits(reference, square, m / dispersion, unit)
    low, high = difference(
        mean_limits(mine, own_square, n / dispersion, unit),
        before.widened(np.where(spread > 1e-6, _in_own_units(shift, reference, square), 1.0)),
    )
    # What neither side ever showed may be there seldom: a share p in units of its own spread is about the root of p.
    never = both <= 0
    low = np.where(never, -Z * np.sqrt(dispersion / m), low / scale)
    high = np.where(never, Z * np.sqrt(dispersion / n), high / scale)
    return StyleShifts(shift, np.maximum(error, 1e-9), low, high)


def _in_own_units(shift: Floats, reference: Floats, square: Floats) -> Floats:
    """Return how much more a shift varies with the baseline than its mean does: the unit is the baseline's spread.

    By the delta method that is the root of 1 + d g + d^2 (k - 1) / 4, of a shift d and the baseline's skewness g and
    kurtosis k. These are at least what they are said to be here (k >= g^2 + 1), and no flatter than the normal's.
    """
    skewness = least_skewness(reference, square)
    factor = 1.0 + shift * skewness + shift**2 * np.maximum(skewness**2, 2.0) / 4.0
    return np.asarray(np.sqrt(factor), dtype=np.float64)
