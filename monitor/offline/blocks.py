"""A history cut into blocks that may change places: how to make driftless streams out of what really happened.

Neighbouring exchanges resemble each other (sessions, hours, days), so single exchanges must not be shuffled: streams
made that way would be quieter than real traffic and promise too much. Whole blocks may be, if they are long enough
(Carlstein 1986; Künsch 1989); the longest span is taken that still leaves enough of them. Half of the blocks make the
baseline and the others, in another order, the stream, none of them twice: were blocks repeated, their chance
deviations from the baseline would be repeated, too, and look like a change.

Law of this file: pure; randomness comes in as a generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.contract import Exchange

Rows = NDArray[np.intp]

FEWEST_BLOCKS = 8
# Spans tried, the longest first: name, minutes.
SPANS = (("days", 1440), ("quarter days", 360), ("hours", 60), ("ten minutes", 10), ("minutes", 1))


class HistoryTooShort(ValueError):
    """Too little history to calibrate on; the message is one line that says what would be enough."""


class Blocks(NamedTuple):
    """Rows of each block in order of time; `minutes` is how long each lasts, `span` what they are called."""

    span: str
    minutes: int
    rows: list[Rows]

    @property
    def days(self) -> float:
        """Days of traffic in all of them."""
        return len(self.rows) * self.minutes / 1440.0


def cut(exchanges: Sequence[Exchange]) -> Blocks:
    """Cut timed exchanges, in order of time, into blocks. Raises HistoryTooShort."""
    minute = np.array([exchange.time // 60.0 for exchange in exchanges], dtype=np.int64)
    for span, minutes in SPANS:
        _, place = np.unique(minute // minutes, return_inverse=True)
        count = int(place.max()) + 1 if len(place) else 0
        if count >= FEWEST_BLOCKS:
            return Blocks(span, minutes, [np.flatnonzero(place == block) for block in range(count)])
    raise HistoryTooShort(
        f"the history covers {len(np.unique(minute))} minutes with traffic; expected {FEWEST_BLOCKS} at the least, and "
        f"{FEWEST_BLOCKS} days for an answer that holds from day to day"
    )


def split(blocks: Blocks, rng: np.random.Generator, most: int) -> tuple[Rows, list[Rows]]:
    """Return the rows of a baseline, in order of time, and the blocks of a stream in random order.

    The baseline is made of half of the blocks, or of fewer where these hold `most` exchanges already.
    """
    order = rng.permutation(len(blocks.rows))
    held, chosen = 0, []
    for block in order[: len(order) // 2]:
        if held >= most:
            break
        chosen.append(block)
        held += len(blocks.rows[block])
    rest = order[len(chosen) :]
    baseline = np.concatenate([blocks.rows[block] for block in sorted(chosen)])
    return baseline, [blocks.rows[block] for block in rest]
