"""Coincidence matrices: how often two labels of one item were the same, additive over items.

Law of this file: an item's contribution is kept as integer counts of ordered pairs by the number m of its labels, to be
divided by m - 1 only when read. So adding an item, merging days and taking an item back are exact and in any order.
Krippendorff's alpha = 1 - D_observed / D_expected (Krippendorff 2011, Computing Krippendorff's alpha-reliability) with
its nominal, ordinal and interval differences; AC1 (Gwet 2008), PABAK (Byrt, Bishop & Carlin 1993) and Scott's pi stand
beside it because alpha falls when nearly all labels are the same, although nobody judges differently.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import permutations
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from monitor.contract import Interval

Floats = NDArray[np.float64]
Level = Literal["nominal", "ordinal", "interval"]
# One label, the other, labels of the item.
Cell = tuple[str, str, int]


class Agreement(NamedTuple):
    """Coefficients of one matrix; `pairs` is the number of labels that had another one beside them."""

    pairs: float
    observed: float
    alpha: float | None
    ac1: float | None
    pabak: float | None
    pi: float | None


@dataclass(frozen=True, slots=True)
class Coincidence:
    """Counts of ordered pairs of labels within items; the identity of `merge` has none."""

    cells: Mapping[Cell, int] = field(default_factory=dict)

    @classmethod
    def of_item(cls, labels: Sequence[str]) -> Coincidence:
        """Return the contribution of one item; nothing where it has fewer than two labels."""
        if len(labels) < 2:
            return cls()
        counts = Counter((a, b, len(labels)) for a, b in permutations(labels, 2))
        return cls(dict(counts))

    def merge(self, other: Coincidence) -> Coincidence:
        """Add two matrices."""
        return self._plus(other, 1)

    def without(self, other: Coincidence) -> Coincidence:
        """Take a contribution back, as when an item gets one more label."""
        return self._plus(other, -1)

    def _plus(self, other: Coincidence, sign: int) -> Coincidence:
        total = Counter(self.cells)
        for cell, count in other.cells.items():
            total[cell] += sign * count
        return Coincidence({cell: count for cell, count in total.items() if count})

    def to_bytes(self) -> bytes:
        """Encode for the store; equal matrices have equal bytes."""
        return msgspec.msgpack.encode([(*cell, count) for cell, count in sorted(self.cells.items())])

    @classmethod
    def from_bytes(cls, data: bytes) -> Coincidence:
        """Decode. Raises ValueError when the data are damaged."""
        try:
            rows = msgspec.msgpack.decode(data, type=list[tuple[str, str, int, int]])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ValueError(f"damaged coincidences: {error}") from None
        return cls({(a, b, m): count for a, b, m, count in rows})

    def matrix(self) -> tuple[list[str], Floats]:
        """Return the labels, numbers in their order, and the matrix o of coincidences, whose sum is `pairs`."""
        values = sorted({label for cell in self.cells for label in cell[:2]}, key=_order)
        place = {label: i for i, label in enumerate(values)}
        o = np.zeros((len(values), len(values)))
        for (a, b, m), count in self.cells.items():
            o[place[a], place[b]] += count / (m - 1)
        return values, o

    def alpha(self, level: Level = "nominal") -> float | None:
        """Return Krippendorff's alpha; None where nothing was labelled twice, 1 where all labels are the same."""
        values, o = self.matrix()
        n_c = o.sum(axis=1)
        n = n_c.sum()
        if n < 2:
            return None
        difference = _difference(values, n_c, level)
        expected = float((np.outer(n_c, n_c) * difference).sum() / (n * (n - 1)))
        return 1.0 if expected == 0 else 1.0 - float((o * difference).sum() / n) / expected

    def agreement(self, level: Level = "nominal") -> Agreement:
        """Return all coefficients; those beside alpha are nominal."""
        values, o = self.matrix()
        n, k = float(o.sum()), len(values)
        if n < 2:
            return Agreement(n, 0.0, None, None, None, None)
        share = o.sum(axis=1) / n
        observed = float(np.trace(o)) / n
        if k < 2:
            return Agreement(n, observed, 1.0, 1.0, 1.0, 1.0)
        by_chance = float((share * (1 - share)).sum()) / (k - 1)
        same = float((share**2).sum())
        return Agreement(
            pairs=n,
            observed=observed,
            alpha=self.alpha(level),
            ac1=(observed - by_chance) / (1 - by_chance),
            pabak=(k * observed - 1) / (k - 1),
            pi=(observed - same) / (1 - same),
        )


def merged(parts: Sequence[Coincidence]) -> Coincidence:
    """Add many matrices."""
    return reduce(Coincidence.merge, parts, Coincidence())


def jackknife(
    blocks: Sequence[Coincidence], level: Level = "nominal"
) -> tuple[float | None, Interval | None]:
    """Return alpha of all blocks together and its 95 % interval, leaving out one block at a time.

    Blocks are of different items (days, or a hash of the item). The variance is that of Tukey's pseudo-values of
    log(1 - alpha), on which scale alpha is nearer to normal, with Student's t; no interval for fewer than four blocks
    or where nobody ever differed.
    """
    filled = [block for block in blocks if block.cells]
    whole = merged(filled)
    alpha = whole.alpha(level)
    if alpha is None or len(filled) < 4:
        return alpha, None
    left = [whole.without(block).alpha(level) for block in filled]
    logs = np.array([np.log(1.0 - a) for a in left if a is not None and a < 1.0])
    if alpha >= 1.0 or len(logs) < len(filled):
        return alpha, None
    g = len(filled)
    error = float(np.sqrt((g - 1) / g * ((logs - logs.mean()) ** 2).sum()))
    reach = float(student.ppf(0.975, g - 1)) * error
    centre = float(np.log(1.0 - alpha))
    return alpha, (1.0 - float(np.exp(centre + reach)), 1.0 - float(np.exp(centre - reach)))


def numeric(label: str) -> float | None:
    """Return the number that a label is, or None."""
    try:
        value = float(label)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _order(label: str) -> tuple[bool, float, str]:
    value = numeric(label)
    return (value is None, value or 0.0, label)


def _difference(values: Sequence[str], n_c: Floats, level: Level) -> Floats:
    """Return the squared differences of all pairs of labels; labels that are no numbers differ nominally."""
    size = len(values)
    numbers = [numeric(label) for label in values]
    if level == "nominal" or any(number is None for number in numbers):
        return 1.0 - np.eye(size)
    if level == "interval":
        x = np.array(numbers, dtype=np.float64)
        return np.asarray((x[:, None] - x[None, :]) ** 2)
    # The ordinal difference counts the labels that lie between two, half of each end.
    upto = np.cumsum(n_c) - n_c / 2
    return np.asarray((upto[:, None] - upto[None, :]) ** 2)
