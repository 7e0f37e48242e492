"""How much more sums over real traffic vary than sums of independent exchanges would.

Neighbouring exchanges resemble each other (sessions, users, time of day), so a sum over b of them varies more than
b times the variance of one: by the factor returned here, estimated from blocks of consecutive exchanges (batch
means; Glynn & Whitt 1991). What a block is too short to see is extrapolated from how the factor grew with the length
of blocks (lugsail batch means; Vats & Flegal 2022). Tests that ignore it raise alarms on nothing (Rao & Scott 1981).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_BLOCKS = (10, 30, 100, 300)
_FEWEST_BLOCKS = 12
# Scores of less variance than this are constant.
_LEAST = 1e-12
# Standard errors by which a score's own factor must stand out to be believed against its family's.
_STANDS_OUT = 2.0


class _Told(NamedTuple):
    """What blocks of one `size` tell: factors (p,), and the variance of their estimates in units of the factor squared."""

    factors: Floats
    spread: float
    size: int


def overdispersion(scores: Floats) -> Floats:
    """Return the variance factor (p,) >= 1 of float64 (m, p) scores given in order of time."""
    worst = np.ones(scores.shape[1])
    varies = _varies(scores)
    for told in _by_blocks(scores[:, varies]):
        worst[varies] = np.maximum(worst[varies], _drawn(told.factors, told.spread))
    return worst


def grouped_overdispersion(scores: Floats, group: NDArray[np.intp]) -> Floats:
    """Return the variance factor (p,) >= 1 of float64 (m, p) scores of which those of a `group` (m,) come together."""
    worst = np.ones(scores.shape[1])
    varies, (of, groups) = _varies(scores), _numbered(group)
    if groups == len(of) or not varies.any():
        return worst
    centred = scores[:, varies] - scores[:, varies].mean(axis=0)
    sums = np.zeros((groups, centred.shape[1]))
    np.add.at(sums, of, centred)
    factors = (sums**2).sum(axis=0) / (centred**2).sum(axis=0)
    worst[varies] = np.maximum(1.0, _drawn(factors, 2.0 / groups))
    return worst


def _numbered(group: NDArray[np.intp]) -> tuple[NDArray[np.intp], int]:
    found, of = np.unique(group, return_inverse=True)
    return of, len(found)


def counter_overdispersion(held: Floats, share: Floats) -> float:
    """Return one factor >= 1 for all cells of a counter that hold these shares (cells,) of the exchanges.

    `held`, float64 (m, cells): 1 where an exchange is held by a cell, less what is expected of it.

    The cells' own factors cannot be known, since most hold little; how much they differ can (a random-effects model;
    DerSimonian & Laird 1986). One that is two of its standard deviations above their mean is what is to be reckoned with.
    """
    counted = _varies(held) & (share > 0.0)
    if not counted.any():
        return 1.0
    held, share = held[:, counted], share[counted]
    weight = share / share.sum()
    # How far the scatter of so few cells may lie above what noise makes of it on average.
    doubt = 1.0 + math.sqrt(2.0 * float((weight**2).sum()))
    worst = 1.0
    for told in _by_blocks(held):
        mean = float(weight @ told.factors)
        # Counts of a few a block vary more than normal sums do: their fourth moment has one over their mean on top.
        noise = told.spread * mean**2 * (1.0 + 0.5 / (share * told.size))
        between = float(weight @ ((told.factors - mean) ** 2 - doubt * noise))
        worst = max(worst, mean + _STANDS_OUT * math.sqrt(max(0.0, between)))
    return worst


def _varies(scores: Floats) -> NDArray[np.bool_]:
    return scores.var(axis=0) > _LEAST if len(scores) else np.zeros(scores.shape[1], dtype=bool)


def _by_blocks(scores: Floats) -> Iterator[_Told]:
    """Yield what ever longer blocks tell of scores (m, p) that vary."""
    (m, p), variance = scores.shape, scores.var(axis=0) if len(scores) else np.zeros(0)
    shorter, blocks_before = np.zeros(0), 0
    for size in _BLOCKS if p else ():
        blocks = m // size
        if blocks < _FEWEST_BLOCKS:
            break
        means = scores[: blocks * size].reshape(blocks, size, p).mean(axis=1)
        factors = means.var(axis=0, ddof=1) * size / variance
        whole = 2.0 * factors - shorter if len(shorter) else factors
        # Shorter blocks are parts of the longer ones.
        spread = 8.0 / blocks - 6.0 / blocks_before if blocks_before else 2.0 / blocks
        yield _Told(whole, spread, size)
        shorter, blocks_before = factors, blocks


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
