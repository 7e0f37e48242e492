"""The same again and again: one prompt, or one user, that fills the traffic.

Hashed counters (`monitor.sketch.cells`) say how often whole prompts, and users, come again. Other topics and other
people spread over all cells, so they raise none of them. The null hypothesis leaves every cell some points more than the
busiest one of the baseline, whichever that was, since users and fashions come and go without anything being wrong; and
its counts are tempered by the overdispersion that sessions gave the counters of the baseline.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from monitor.sketch.cells import CELLS

Floats = NDArray[np.float64]

# Name of the signal -> field of the counter.
COUNTERS: dict[str, str] = {"duplicates": "prompt_cells", "flood": "user_cells"}
# A cell may hold so much more of the traffic than the busiest of the baseline before anybody calls it a repetition.
MARGIN = 0.05
# Level of a single look at both counters.
ONE_LOOK = 1e-3
# A cell stands out from this tail probability on, all cells together.
_STANDS_OUT = 0.001
# No share is taken to be surely all: where the baseline asks one thing alone, so may the traffic.
_MOST = 1.0 - 1e-6
# Under continuous looking the null is this many standard errors above the baseline's busiest share; a single look needs
# none, the busiest of many cells being an overestimate already.
_TOLERANCE = 3.0


class Repetition(NamedTuple):
    """Share of the `window` in cells that stand out, or in the busiest; of the `baseline` in its busiest cell.

    `error` is the standard error of their difference; the p-value is that of no cell holding more than `MARGIN` beyond
    the baseline's busiest.
    """

    window: float
    baseline: float
    error: float
    p_value: float


def largest_share(
    baseline: Floats,
    dispersion: float,
    margin: float,
    uncertainty: float = 0.0,
    tolerance: float = _TOLERANCE,
) -> float:
    """Return the largest share that any cell may have without change, from the baseline's counts (CELLS,).

    `uncertainty` is the variance of the expectation in units of a share's own (see `seasonality`).
    """
    m = max(1.0, float(baseline.sum()))
    # Half a count in every cell would make too little of a cell that holds most of a small baseline.
    share = float(max((baseline.max() + 0.5) / (m + 0.5 * CELLS), baseline.max() / m))
    error = float(np.sqrt(share * (1.0 - share) * (dispersion / m + uncertainty)))
    return min(share + margin + tolerance * (error + dispersion / m), _MOST)


def repeated(baseline: Floats, window: Floats, dispersion: float) -> Repetition | None:
    """Compare two counters (CELLS,); None where either is empty."""
    m, n = float(baseline.sum()), float(window.sum())
    if not m or not n:
        return None
    most = largest_share(baseline, dispersion, MARGIN, tolerance=0.0)
    # No more than 1 / share cells can have this share; of smaller ones more, but those get as far less often than that.
    p_value = min(1.0, float(_tail(window, n, most, dispersion).min()) / most)
    stands_out = (
        _tail(window, n, largest_share(baseline, dispersion, 0.0, tolerance=0.0), dispersion)
        <= _STANDS_OUT / CELLS
    )
    seen = float(max(window[stands_out].sum(), window.max()) / n)
    known = float(baseline.max() / m)
    spread = dispersion * (max(seen * (1.0 - seen), 0.25 / n) / n + known * (1.0 - known) / m)
    return Repetition(seen, known, float(np.sqrt(spread)), p_value)


def fills(found: dict[str, float | None]) -> bool:
    """Tell from the p-values of the signals whether one look shows a repetition.

    The margin makes them far smaller than their level without one, so this level is spent beside that of a comparison.
    """
    return any(p is not None and p <= ONE_LOOK for p in found.values())


def _tail(counts: Floats, n: float, null: float, dispersion: float) -> Floats:
    """Return the chance (CELLS,) of so many or more of n in a cell of this share: a binomial of n / dispersion."""
    k, size = counts / dispersion, n / dispersion
    tail = betainc(np.maximum(k, 1e-9), np.maximum(size - k + 1.0, 1e-9), null)
    return np.where(counts > 0, tail, 1.0)
