"""Exchanges with their scores: what the bus and the scorer give, and what sketches are folded from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.contract import Exchange


class Scored(NamedTuple):
    """n exchanges and their scores, row by row.

    `prompt`, `response`: float32 (n, dim), unit rows, zero where there was no text. `reward`: float32 (n,), NaN
    where there is none. `errors`: row -> why the scorer refused that exchange.
    """

    exchanges: Sequence[Exchange]
    prompt: NDArray[np.float32]
    response: NDArray[np.float32]
    reward: NDArray[np.float32]
    errors: dict[int, str]

    def take(self, rows: Sequence[int] | NDArray[np.intp]) -> Scored:
        """Return these rows, in this order."""
        index = np.asarray(rows, dtype=np.intp)
        errors = {new: self.errors[old] for new, old in enumerate(index.tolist()) if old in self.errors}
        exchanges = [self.exchanges[i] for i in index.tolist()]
        return Scored(exchanges, self.prompt[index], self.response[index], self.reward[index], errors)
