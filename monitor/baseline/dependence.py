"""How much exchanges of a baseline depend on each other: one factor of variance for everything that is tested.

Normal scores, shares and hashed counters are measured alike, in order of time and less what the hour explains (see
`overdispersion`, `seasonality`). Without times independence is assumed, but for those of a user, and for
equal prompts: they are taken to come together, as a session does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.baseline.folds import Arrivals, copies, in_order
from monitor.baseline.overdispersion import counter_overdispersion, grouped_overdispersion, overdispersion
from monitor.baseline.seasonality import Calendar, left_over
from monitor.sketch.cells import CELLS
from monitor.sketch.features import Features, Floats
from monitor.sketch.layout import LANDMARKS, RATES

Rows = NDArray[np.intp]
# A share of fewer exchanges than this shows no pattern.
_FEWEST_HITS = 10
# Counters are measured on the last exchanges of a baseline: more would take memory and tell nothing new.
_COUNTED = 20_000


class Measured(NamedTuple):
    """What a baseline's own n exchanges look like: normal scores of some rows, novelty (n,), and their features.

    `scores`: family -> (rows, scores (rows, p)). `far`: held-out rows, and the landmark of far prompts (n,), else -1;
    `neighbourhoods`: the groups of landmarks that far prompts are counted at.
    """

    scores: dict[str, tuple[Rows, Floats]]
    novelty: Floats
    features: Features
    far: tuple[Rows, Rows]
    neighbourhoods: list[Rows]


def dispersion(calendar: Calendar, arrivals: Arrivals, measured: Measured, prior: float) -> dict[str, Floats]:
    """Return the factors of each family of normal scores (p,), of `rate` (one of `RATES` each), `cells` (2,), `topic` (levels,)."""
    timed = calendar.visit.any()
    group = np.arange(len(arrivals.times)) if timed else copies(arrivals.text)

    def in_time(rows: Rows, values: Floats) -> Floats:
        order = in_order(arrivals.take(rows))
        return left_over(calendar, rows[order], values[order], prior)

    def factor(rows: Rows, values: Floats) -> Floats:
        return overdispersion(in_time(rows, values)) if timed else grouped_overdispersion(values, group[rows])

    def together(rows: Rows, cell: Rows, cells: int) -> float:
        held = (cell[rows, None] == np.arange(cells)).astype(np.float64)
        return counter_overdispersion(in_time(rows, held), held.mean(axis=0)) if timed and len(rows) else 1.0

    found = {family: factor(rows, scores) for family, (rows, scores) in measured.scores.items()}
    found["rate"] = np.concatenate([factor(*series) for series in _shares(measured)])
    latest = np.sort(in_order(arrivals)[-_COUNTED:])
    cells = (measured.features.prompt_cell, measured.features.user_cell)
    of = together if timed else _in_clusters
    found["cells"] = np.array([of(latest[cell[latest] >= 0], cell, CELLS) for cell in cells])
    held_out, landmark = measured.far
    mine = held_out[in_order(arrivals.take(held_out))[-_COUNTED:]]
    levels = [np.where(landmark < 0, -1, group[landmark]) for group in measured.neighbourhoods]
    # A session shows best at groups as wide as what it is about, so what is found at one is reckoned with at all. Held-out
    # stretches stand side by side here, so of sessions longer than a stretch too little is seen.
    most = max(_met(group[mine]), *(together(np.sort(mine), level, LANDMARKS) for level in levels))
    found["topic"] = np.full(len(levels), most)
    return found


def _shares(measured: Measured) -> list[tuple[Rows, Floats]]:
    """Return for each of `RATES` out of which rows it is counted and whether it is (rows, 1)."""
    features = measured.features
    everything = np.ones(len(measured.novelty), dtype=bool)
    masks = {"prompts": features.prompted, "answers": features.answered, "exchanges": everything}
    flags = {
        "novel_90": measured.novelty > 0.90,
        "novel_98": measured.novelty > 0.98,
        **features.flags,
    }
    series = []
    for _, name, total in RATES:
        rows = np.flatnonzero(masks[total])
        hit = flags[name][rows].astype(np.float64)
        series.append((rows, hit[:, None] if hit.sum() >= _FEWEST_HITS else np.zeros((len(rows), 1))))
    return series


def _met(group: Rows) -> float:
    """Return how many of its group an exchange meets on average, itself included."""
    _, of, size = np.unique(group, return_inverse=True, return_counts=True)
    return float(size[of].mean()) if len(group) else 1.0


def _in_clusters(rows: Rows, cell: Rows, cells: int) -> float:
    """Return how many equal ones an exchange meets on average, itself included, from the second moment of the cells.

    The busiest cell is left out: one that is always busy is no session.
    """
    counts = np.sort(np.bincount(cell[rows], minlength=cells).astype(np.float64))[:-1]
    m, left = float(counts.sum()), len(counts)
    if m < _FEWEST_HITS:
        return 1.0
    second = float((counts**2).sum() - m * m / left) / (1.0 - 1.0 / left)
    return max(1.0, second / m)
