"""How far each habit of style has moved, in standard deviations of the baseline."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.baseline.frozen import Baseline
from monitor.sketch.bucket import Bucket

Floats = NDArray[np.float64]


class StyleShifts(NamedTuple):
    """Standardised shift of each style feature of the responses, its standard error without change, and its own."""

    shift: Floats
    error: Floats
    own_error: Floats


def style_shifts(baseline: Baseline, window: Bucket) -> StyleShifts | None:
    """Return how far each style feature of the responses has moved; None where there are none."""
    n, m = window.count("answers"), baseline.reference.count("answers")
    if not n or not m:
        return None
    reference = baseline.reference.read("response_style") / m
    square = baseline.reference.read("response_style_sq") / m
    spread = np.sqrt(np.maximum(square - reference**2, 0.0))
    mine = window.read("response_style") / n
    own = np.sqrt(np.maximum(window.read("response_style_sq") / n - mine**2, 0.0))
    # A feature that the baseline never showed has no spread of its own: the window's stands in.
    scale = np.maximum(spread, np.where(spread > 1e-6, 0.0, np.maximum(own, 1e-6)))
    dispersion, usual = baseline.overdispersion["response"][: len(reference)], (spread / scale) ** 2 / m
    error = np.sqrt(dispersion * (1 / n + usual))
    # A share that rises from nothing varies more than it did: what holds now is known less well than what held before.
    own_error = np.sqrt(dispersion * ((own / scale) ** 2 / n + usual))
    return StyleShifts((mine - reference) / scale, np.maximum(error, 1e-9), np.maximum(own_error, 1e-9))
