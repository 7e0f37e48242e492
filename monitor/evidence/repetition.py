"""The same again and again: one prompt, or one user, that fills the traffic.

Hashed counters (`monitor.sketch.cells`) say how often whole prompts, and users, come again. What is compared with the
baseline is each cell's share: other topics and other people spread over all cells, so they raise none of them. The
null hypothesis leaves every cell some points more than the baseline's share, since users come and go without anything
being wrong, and its counts are tempered by the overdispersion that sessions gave the counters of the baseline.
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
# A cell may hold so much more of the traffic than of the baseline's before anybody calls it a repetition.
MARGIN = 0.05
# A cell stands out from this tail probability on, all cells together.
_STANDS_OUT = 0.001
# The null of a cell is this many standard errors above the baseline's share.
_TOLERANCE = 3.0


class Repetition(NamedTuple):
    """Share of the cells that stand out: in the `window` and in the `baseline`, its standard error, and the p-value.

    The p-value is that of the most crowded cell holding no more than `MARGIN` beyond the baseline's share.
    """

    window: float
    baseline: float
    error: float
    p_value: float


def null_shares(baseline: Floats, dispersion: float, margin: float, uncertainty: float = 0.0) -> Floats:
    """Return the largest share (CELLS,) that each cell may have without change, from the baseline's counts.

    `uncertainty` is the variance of the expectation in units of a share's own (see `seasonality`).
    """
    m = max(1.0, float(baseline.sum()))
    share = (baseline + 0.5) / (m + 0.5 * CELLS)
    error = np.sqrt(share * (1.0 - share) * (dispersion / m + uncertainty))
    limit: Floats = np.minimum(share + margin + _TOLERANCE * (error + dispersion / m), 0.95)
    return limit


def repeated(baseline: Floats, window: Floats, dispersion: float) -> Repetition | None:
    """Compare two counters (CELLS,); None where either is empty."""
    m, n = float(baseline.sum()), float(window.sum())
    if not m or not n:
        return None
    beyond = _tail(window, n, null_shares(baseline, dispersion, MARGIN), dispersion)
    stands_out = _tail(window, n, null_shares(baseline, dispersion, 0.0), dispersion) <= _STANDS_OUT / CELLS
    seen = float(window[stands_out].sum() / n)
    known = float(baseline[stands_out].sum() / m)
    spread = dispersion * (max(seen * (1.0 - seen), 0.25 / n) / n + known * (1.0 - known) / m)
    return Repetition(seen, known, float(np.sqrt(spread)), min(1.0, CELLS * float(beyond.min())))


def _tail(counts: Floats, n: float, null: Floats, dispersion: float) -> Floats:
    """Return the chance (CELLS,) of so many or more of n in a cell of this share: a binomial of n / dispersion."""
    k, size = counts / dispersion, n / dispersion
    tail = betainc(np.maximum(k, 1e-9), np.maximum(size - k + 1.0, 1e-9), null)
    return np.where(counts > 0, tail, 1.0)
