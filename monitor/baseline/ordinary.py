"""What is ordinary of a single exchange: how rare each of its numbers is in the baseline, and all of them together.

Law of this file: matrices in, probabilities out; it knows no feature by name. One half of the baseline gives each
feature's tails, the other half the distribution of the total, so the p-value of an exchange like the baseline's is
uniform or larger whatever the features and their dependence are (split conformal; Vovk, Gammerman & Shafer 2005). The
total is the largest surprise and half of the next: most anomalies show in one number, and a second one is a confirmation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_POINTS = 40


class Unusual(NamedTuple):
    """How unusual n exchanges are: `p_value` (n,), `total` (n,) to order equal ones, `rising` and `falling` (n, q).

    The last two are surprises (-log of the tail's probability) of each feature upwards and downwards.
    """

    p_value: Floats
    total: Floats
    rising: Floats
    falling: Floats


class Ordinary(NamedTuple):
    """Tails of q features and the distribution of totals.

    `upper`, `lower` (q, points): values beyond which the shares `share` (points,) of the baseline lie, `lower` with its
    sign turned. `scale` (2, q): by how much a value must go further for a surprise of one more. `levels` (h,): totals.
    """

    upper: Floats
    lower: Floats
    share: Floats
    scale: Floats
    levels: Floats

    def judge(self, features: Floats) -> Unusual:
        """Judge float64 (n, q) features; NaN stands for what is not known of an exchange."""
        rising = self._surprise(features, self.upper, self.scale[0])
        falling = self._surprise(-features, self.lower, self.scale[1])
        total = _total(rising, falling)
        above = len(self.levels) - np.searchsorted(self.levels, total, side="left")
        p_value = np.asarray((1.0 + above) / (1.0 + len(self.levels)), dtype=np.float64)
        return Unusual(p_value, total, rising, falling)

    def _surprise(self, values: Floats, tails: Floats, scale: Floats) -> Floats:
        """Return the surprise of each value: stepwise within the baseline, on an exponential tail beyond it."""
        levels = np.concatenate([[0.0], -np.log(self.share)])
        found = np.zeros(values.shape)
        for j in range(values.shape[1]):
            column = np.nan_to_num(values[:, j], nan=-np.inf)
            found[:, j] = levels[np.searchsorted(tails[j], column, side="left")]
            beyond = column - tails[j, -1]
            found[:, j] += np.where(beyond > 0, np.minimum(beyond / scale[j], 20.0), 0.0)
        return found


# Of a baseline in the making.
NO_ORDINARY = Ordinary(np.zeros((0, 0)), np.zeros((0, 0)), np.zeros(0), np.zeros((2, 0)), np.zeros(0))


def fit_ordinary(features: Floats, one_sided: NDArray[np.int8], half: NDArray[np.bool_]) -> Ordinary:
    """Learn from float64 (m, q) features of the baseline, tails from `half` (m,) of them and levels from the others.

    `one_sided` (q,): +1 or -1 where only that side counts.
    """
    known, others = features[half], features[~half]
    share = np.geomspace(0.5, 1.0 / max(4, len(known)), _POINTS)
    upper, scale_up = _tails(known, share, one_sided >= 0)
    lower, scale_down = _tails(-known, share, one_sided <= 0)
    draft = Ordinary(upper, lower, share, np.vstack([scale_up, scale_down]), np.zeros(0))
    return draft._replace(levels=np.sort(draft.judge(others).total))


def _tails(features: Floats, share: Floats, counts: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the (q, points) quantiles beyond which each share lies, and the scale of what lies beyond them all."""
    tails = np.full((features.shape[1], len(share)), np.inf)
    scale = np.ones(features.shape[1])
    tenth = int(np.searchsorted(-share, -0.1))
    for j in np.flatnonzero(counts):
        column = features[~np.isnan(features[:, j]), j]
        if len(column) < 20:
            continue
        tails[j] = np.quantile(column, 1.0 - share, method="higher")
        spread = (tails[j, -1] - tails[j, tenth]) / np.log(share[tenth] / share[-1])
        # A count that is nearly always zero has no tail to go on from: one further step is one more surprise.
        scale[j] = spread if spread > 1e-9 else max(float(column.std()), 1.0)
    return tails, scale


def _total(rising: Floats, falling: Floats) -> Floats:
    both = np.sort(np.maximum(rising, falling), axis=1)
    return np.asarray(both[:, -1] + 0.5 * both[:, -2], dtype=np.float64)
