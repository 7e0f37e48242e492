"""Which exchanges of a baseline are held out together.

Law: pure. What is held out stands for exchanges to come, so it must be no nearer to what is learnt from than those will
be. Neighbours in time belong to one session, or follow one event, and resemble each other; held out one by one, they
would have their like among what is learnt from, and every later exchange would seem novel beside them. So stretches of
neighbours are held out, as in cross-validation of time series (Racine 2000; Roberts et al. 2017). Where exchanges
are independent it makes no difference.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

# Stretches of a baseline: long enough for sessions, and many enough for every part of its time to be in every fold.
_STRETCHES = 40
# Parts that are ranked by the others of their half: so many that leaving one out makes no difference to the rest.
_PARTS = 20


class Split(NamedTuple):
    """What m exchanges of a baseline are held out from: `held_out` bool (m,) from centres, `part` (m,) from ranks."""

    held_out: NDArray[np.bool_]
    part: Rows


def stretches(times: Floats) -> Rows:
    """Return for each exchange (n,), by its time, the number of its stretch; each is one by itself where times say nothing."""
    if not len(times) or times.min() == times.max():
        return np.arange(len(times))
    rank = np.empty(len(times), dtype=np.intp)
    rank[np.argsort(times, kind="stable")] = np.arange(len(times))
    return rank // max(1, len(times) // _STRETCHES)


def folds(times: Floats, count: int, seed: int) -> Rows:
    """Return the fold (n,) of exchanges of these times: of `count` stretches in a row each is in another fold.

    Stretches are cut among the very exchanges that are to be parted, so that folds are alike large wherever in the
    baseline's time these lie.
    """
    stretch = stretches(times)
    groups = int(stretch.max(initial=0)) // count + 1
    drawn = np.random.default_rng(seed).permuted(np.tile(np.arange(count), (groups, 1)), axis=1)
    return np.asarray(drawn.ravel()[stretch], dtype=np.intp)


def split(times: Floats, seed: int) -> Split:
    """Return which of the exchanges of these times are held out, and the parts that both halves are cut into."""
    return Split(folds(times, 2, seed) == 1, folds(times, _PARTS, seed))
