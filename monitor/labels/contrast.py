"""Two sets of labels, looked at once: an exact permutation test.

Law of this file: pure. Labels of items that both sides judged are permuted within their item, so that different items
on the two sides are no evidence; of the other items whole items change sides. Every column is centred before (within
its item, or over all), so each statistic is a sum over one side: shares of classes, mean score, right by gold, and
agreement with the other labels of the item. One p-value for all by the largest standardised one (Westfall & Young 1993).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.labels.coincidence import Coincidence, numeric
from monitor.labels.judgement import Earlier, Event, Judgement, Kind, Scheme, events_of
from monitor.labels.measures import Side
from monitor.labels.panel import Waiting, paired_by_reward

Floats = NDArray[np.float64]

_PERMUTATIONS = 1999
_BLOCKS = 20
_FEWEST_SHARED = 10


class Tested(NamedTuple):
    """The p-value of no difference, by comparison, and whether labels of the same items differ."""

    p_value: float
    kinds: dict[Kind, float]
    same_items: float


def contrast(
    scheme: Scheme, before: Sequence[Judgement], after: Sequence[Judgement], *, seed: int = 0
) -> Tested:
    """Test whether `after` was labelled as `before` was."""
    rows = [*before, *after]
    side = np.array([0] * len(before) + [1] * len(after))
    items = _numbered([row.item for row in rows])
    columns, kinds = _columns(scheme, rows, items)
    both = np.bincount(items, side) * np.bincount(items, 1 - side)
    shared = both[items] > 0
    rng = np.random.default_rng(seed)
    parts: list[tuple[Floats, list[Kind]]] = []
    within = np.zeros(0)
    if len(set(items[shared].tolist())) >= _FEWEST_SHARED:
        drawn = _within(columns[shared], items[shared], side[shared], rng)
        within = drawn
        parts.append((drawn, kinds))
    if (~shared).any() and 0 < side[~shared].sum() < (~shared).sum():
        parts.append((_across(columns[~shared], items[~shared], side[~shared], rng), kinds))
    if not parts:
        return Tested(1.0, {}, 1.0)
    drawn = np.hstack([part for part, _ in parts])
    named = [kind for _, own in parts for kind in own]
    by_kind = {
        kind: _p(drawn[:, [i for i, other in enumerate(named) if other == kind]])
        for kind in dict.fromkeys(named)
    }
    return Tested(_p(drawn), by_kind, _p(within) if within.size else 1.0)


def sides(scheme: Scheme, before: Sequence[Judgement], after: Sequence[Judgement]) -> tuple[Side, Side]:
    """Return the events of each side by itself; later judgements are not held against earlier ones."""
    return _side(scheme, before), _side(scheme, after)


def _side(scheme: Scheme, judgements: Sequence[Judgement]) -> Side:
    events: list[Event] = []
    labels: dict[str, list[Earlier]] = defaultdict(list)
    waiting: tuple[Waiting, ...] = ()
    for new in judgements:
        events += events_of(scheme, new, labels[new.item])
        waiting, pair = paired_by_reward(waiting, new)
        events += pair
        labels[new.item].append(Earlier(new.annotator, new.label))
    blocks = [Coincidence() for _ in range(_BLOCKS)]
    parts: list[list[Coincidence]] = [[] for _ in blocks]
    for i, given in enumerate(labels.values()):
        parts[i % _BLOCKS].append(Coincidence.of_item([earlier.label for earlier in given]))
    return Side(events, [_sum(part) for part in parts])


def _sum(parts: Sequence[Coincidence]) -> Coincidence:
    total: dict[tuple[str, str, int], int] = defaultdict(int)
    for part in parts:
        for cell, count in part.cells.items():
            total[cell] += count
    return Coincidence(dict(total))


def _numbered(names: Sequence[str]) -> NDArray[np.intp]:
    place: dict[str, int] = {}
    return np.array([place.setdefault(name, len(place)) for name in names], dtype=np.intp)


def _columns(scheme: Scheme, rows: Sequence[Judgement], items: NDArray[np.intp]) -> tuple[Floats, list[Kind]]:
    """Return one column a question about each label, and the kind of comparison it is of."""
    classes = sorted({scheme.stratum(row.label) for row in rows})
    place = {name: i for i, name in enumerate(classes)}
    codes = np.array([place[scheme.stratum(row.label)] for row in rows])
    hot = np.eye(len(classes))[codes]
    found: list[Floats] = [hot[:, i] for i in range(len(classes))]
    kinds: list[Kind] = ["label"] * len(classes)
    if scheme.cuts:
        numbers = [numeric(row.label) for row in rows]
        known = [value for value in numbers if value is not None]
        middle = float(np.mean(known)) if known else 0.0
        found.append(np.array([middle if value is None else value for value in numbers]))
        kinds.append("label")
    gold = np.array([np.nan if r.gold is None else float(not scheme.differ(r.label, r.gold)) for r in rows])
    if np.isfinite(gold).sum() >= _FEWEST_SHARED:
        found.append(np.where(np.isfinite(gold), gold, np.nanmean(gold)))
        kinds.append("gold")
    found.append(_with_others(hot, codes, items))
    kinds.append("peer")
    return np.column_stack(found), kinds


def _with_others(hot: Floats, codes: NDArray[np.int64], items: NDArray[np.intp]) -> Floats:
    """Return for each label the share of the item's other labels of the same class; the mean where it has none."""
    table = np.zeros((int(items.max()) + 1, hot.shape[1]))
    np.add.at(table, items, hot)
    total = table.sum(axis=1)[items]
    same = table[items, codes] - 1.0
    share = same / np.maximum(total - 1.0, 1.0)
    known = total > 1
    return np.where(known, share, share[known].mean() if known.any() else 0.0)


def _within(
    columns: Floats, items: NDArray[np.intp], side: NDArray[np.int64], rng: np.random.Generator
) -> Floats:
    """Return (1 + permutations, p) sums over the later side, the observed first, permuting within items."""
    by_item = np.argsort(items, kind="stable")
    columns, items, side = columns[by_item], items[by_item], side[by_item]
    n = np.bincount(items)
    kept = np.maximum(n, 1)[items]
    means = np.column_stack([np.bincount(items, column)[items] / kept for column in columns.T])
    centred = columns - means
    drawn = np.empty((1 + _PERMUTATIONS, columns.shape[1]))
    drawn[0] = side @ centred
    template = side[np.lexsort((side, items))]
    for b in range(1, 1 + _PERMUTATIONS):
        drawn[b] = template @ centred[np.argsort(items + rng.random(len(items)))]
    return drawn


def _across(
    columns: Floats, items: NDArray[np.intp], side: NDArray[np.int64], rng: np.random.Generator
) -> Floats:
    """Return the same, whole items changing sides."""
    centred = columns - columns.mean(axis=0)
    _, places = np.unique(items, return_inverse=True)
    sums = np.column_stack([np.bincount(places, column) for column in centred.T])
    mine = (np.bincount(places, side) > 0).astype(np.float64)
    drawn = np.empty((1 + _PERMUTATIONS, columns.shape[1]))
    drawn[0] = mine @ sums
    for b in range(1, 1 + _PERMUTATIONS):
        drawn[b] = rng.permutation(mine) @ sums
    return drawn


def _p(drawn: Floats) -> float:
    """Return the p-value of the largest standardised statistic of the first row."""
    centre, spread = drawn.mean(axis=0), drawn.std(axis=0)
    moving = spread > 1e-9
    if not moving.any():
        return 1.0
    peak = np.abs((drawn[:, moving] - centre[moving]) / spread[moving]).max(axis=1)
    return float((peak >= peak[0] - 1e-9).mean())
