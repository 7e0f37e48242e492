"""How much more sums over real traffic vary than sums of independent exchanges would.

Neighbouring exchanges resemble each other (sessions, users, time of day), so a sum over b of them varies more than
b times the variance of one: by the factor returned here, estimated from blocks of consecutive exchanges (batch
means; Glynn & Whitt 1991). What a block is too short to see is extrapolated from how the factor grew with the length
of blocks (lugsail batch means; Vats & Flegal 2022). Tests that ignore it raise alarms on nothing (Rao & Scott 1981).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_BLOCKS = (10, 30, 100)
_FEWEST_BLOCKS = 12
# The factor of one score is drawn towards that of its family with this many blocks' weight.
_PRIOR_BLOCKS = 20.0


def overdispersion(scores: Floats) -> Floats:
    """Return the variance factor (p,) >= 1 of float64 (m, p) scores given in order of time."""
    m, p = scores.shape
    worst = np.ones(p)
    if m < _BLOCKS[0] * _FEWEST_BLOCKS:
        return worst
    variance = scores.var(axis=0) + 1e-12
    shorter = np.zeros(0)
    for size in _BLOCKS:
        blocks = m // size
        if blocks < _FEWEST_BLOCKS:
            break
        means = scores[: blocks * size].reshape(blocks, size, p).mean(axis=1)
        factor = means.var(axis=0, ddof=1) * size / variance
        whole = 2.0 * factor - shorter if len(shorter) else factor
        shorter = factor
        family = float(np.clip(whole, 0.0, 50.0).mean())
        shrunk = (blocks * whole + _PRIOR_BLOCKS * family) / (blocks + _PRIOR_BLOCKS)
        worst = np.maximum(worst, shrunk)
    return worst
