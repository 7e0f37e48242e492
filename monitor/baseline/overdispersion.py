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
_BLOCKS = (10, 30, 100, 300)
_FEWEST_BLOCKS = 12
# Scores of less variance than this are constant.
_LEAST = 1e-12
# Standard errors by which a score's own factor must stand out to be believed against its family's.
_STANDS_OUT = 2.0


def overdispersion(scores: Floats) -> Floats:
    """Return the variance factor (p,) >= 1 of float64 (m, p) scores given in order of time."""
    m, p = scores.shape
    worst = np.ones(p)
    if m < _BLOCKS[0] * _FEWEST_BLOCKS:
        return worst
    varies = scores.var(axis=0) > _LEAST
    if not varies.any():
        return worst
    worst[varies] = _of_varying(scores[:, varies])
    return worst


def _of_varying(scores: Floats) -> Floats:
    (m, p), variance = scores.shape, scores.var(axis=0)
    worst = np.ones(p)
    shorter, blocks_before = np.zeros(0), 0
    for size in _BLOCKS:
        blocks = m // size
        if blocks < _FEWEST_BLOCKS:
            break
        means = scores[: blocks * size].reshape(blocks, size, p).mean(axis=1)
        factor = means.var(axis=0, ddof=1) * size / variance
        whole = 2.0 * factor - shorter if len(shorter) else factor
        # Variance of the estimate, in units of the factor squared; shorter blocks are parts of the longer ones.
        spread = 8.0 / blocks - 6.0 / blocks_before if blocks_before else 2.0 / blocks
        worst = np.maximum(worst, _drawn(whole, spread))
        shorter, blocks_before = factor, blocks
    return worst


def _drawn(factors: Floats, spread: float) -> Floats:
    """Draw the factors (p,) of a family towards their mean, as far as noise explains how they differ.

    The weights are those of James & Stein (1961). A factor that stands out is believed as far as it surely does: taking
    noise for dependence would make every bet on a score that much slower.
    """
    family = float(np.clip(factors, 0.0, 50.0).mean())
    noise = spread * family**2
    weight = max(0.0, 1.0 - noise / (float(((factors - family) ** 2).mean()) + 1e-12))
    surely: Floats = factors / (1.0 + _STANDS_OUT * np.sqrt(spread))
    return np.maximum(family + weight * (factors - family), surely)
