"""Hashed counters: how often whole prompts, and users, come again, in a fixed number of cells.

One row of a count-min sketch (Cormode & Muthukrishnan 2005): a text adds one to the cell of its hash, so counters merge
by addition and need neither texts nor names. Other topics spread over all cells alike; only what comes again and again
lifts a single one. The baseline's own counters say what each cell holds without change.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

CELLS = 128
# Checksums of texts that are nearly alike are evenly spaced; multiplying scatters them (Knuth 1973, 6.4).
_SCATTER, _WORD = 0x9E3779B1, 1 << 32


def cell_of(text: str) -> int:
    """Return the cell of a text, whatever space surrounds it."""
    checksum = zlib.crc32(text.strip().encode("utf-8", "replace"))
    return checksum * _SCATTER % _WORD * CELLS // _WORD


def cells_of(texts: Iterable[str | None], n: int) -> NDArray[np.intp]:
    """Return the cell (n,) of each text, -1 where there is none."""
    return np.fromiter((cell_of(text) if text else -1 for text in texts), dtype=np.intp, count=n)


def counted(cells: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return how many of these cells there are of each (CELLS,), leaving out -1."""
    return np.bincount(cells[cells >= 0], minlength=CELLS)
