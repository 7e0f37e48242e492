"""Which exchanges of a baseline are held out together.

Law: pure. What is held out stands for exchanges to come, so it must be no nearer to what is learnt from than those will
be. Neighbours in time belong to one session, or follow one event, and resemble each other; held out one by one, they
would have their like among what is learnt from, and every later exchange would seem novel beside them. So stretches of
neighbours are held out, as in cross-validation of time series (Racine 2000; Roberts et al. 2017). Where exchanges
are independent it makes no difference.

Where times say nothing, equal prompts are the neighbours: several answers to a prompt, or several judgements of an
answer, tell no more of prompts to come than one does. A prompt that fills more than a stretch is another matter: it is
what the traffic keeps asking, and each of its exchanges is by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.contract import Exchange

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

# Stretches of a baseline: long enough for sessions, and many enough for every part of its time to be in every fold.
_STRETCHES = 40
# Copies of a prompt stay together up to a stretch, and up to this many where stretches are shorter.
_COPIES = 20
# Parts that are ranked by the others of their half: so many that leaving one out makes no difference to the rest.
_PARTS = 20


class Arrivals(NamedTuple):
    """When n exchanges came, epoch seconds (n,), and the number (n,) of the text that each asked."""

    times: Floats
    text: Rows

    @classmethod
    def of(cls, exchanges: Sequence[Exchange]) -> Arrivals:
        """Read times and prompts; who asks nothing has a number of their own."""
        ids: dict[str, int] = {}
        text = [ids.setdefault(e.prompt or f" {row}", len(ids)) for row, e in enumerate(exchanges)]
        return cls(np.array([e.time for e in exchanges], dtype=np.float64), np.array(text, dtype=np.intp))

    @classmethod
    def at(cls, times: Floats) -> Arrivals:
        """Return arrivals at these times of which each asks something else."""
        return cls(times, np.arange(len(times)))

    def take(self, rows: Rows | NDArray[np.bool_]) -> Arrivals:
        """Return those of these rows."""
        return Arrivals(self.times[rows], self.text[rows])

    @property
    def timed(self) -> bool:
        """Whether the times say who came after whom."""
        return bool(len(self.times)) and bool(self.times.min() < self.times.max())


class Split(NamedTuple):
    """What m exchanges of a baseline are held out from: `held_out` bool (m,) from centres, `part` (m,) from ranks."""

    held_out: NDArray[np.bool_]
    part: Rows


def stretches(arrivals: Arrivals) -> Rows:
    """Return for each exchange (n,) the number of its stretch: neighbours in time or, without times, equal prompts."""
    if not arrivals.timed:
        return copies(arrivals.text)
    rank = np.empty(len(arrivals.times), dtype=np.intp)
    rank[in_order(arrivals)] = np.arange(len(rank))
    return rank // max(1, len(rank) // _STRETCHES)


def in_order(arrivals: Arrivals) -> Rows:
    """Return the rows (n,) in order of time.

    Those of one time, as of one day where times are dates, come by chance: a file may be sorted by anything. Equal
    prompts of one time stay side by side.
    """
    chance = np.random.default_rng(0).random(int(arrivals.text.max(initial=-1)) + 1)
    return np.lexsort((chance[arrivals.text], arrivals.times))


def copies(text: Rows) -> Rows:
    """Return the group (n,) of each exchange: those of one text, each by itself where they fill more than a stretch.

    The largest groups have the lowest numbers, so that those with numbers in a row are alike large.
    """
    _, of, size = np.unique(text, return_inverse=True, return_counts=True)
    alone = size[of] > max(_COPIES, len(of) // _STRETCHES)
    together = np.where(alone, len(size) + np.arange(len(of)), of)
    _, first, group, size = np.unique(together, return_index=True, return_inverse=True, return_counts=True)
    number = np.empty(len(size), dtype=np.intp)
    number[np.lexsort((first, -size))] = np.arange(len(size))
    return number[group]


def folds(arrivals: Arrivals, count: int, seed: int) -> Rows:
    """Return the fold (n,) of these exchanges: of `count` stretches in a row each is in another fold.

    Stretches are cut among the very exchanges that are to be parted, so that folds are alike large wherever in the
    baseline's time these lie.
    """
    stretch = stretches(arrivals)
    groups = int(stretch.max(initial=0)) // count + 1
    drawn = np.random.default_rng(seed).permuted(np.tile(np.arange(count), (groups, 1)), axis=1)
    return np.asarray(drawn.ravel()[stretch], dtype=np.intp)


def split(arrivals: Arrivals, seed: int) -> Split:
    """Return which of these exchanges are held out, and the parts that both halves are cut into."""
    return Split(folds(arrivals, 2, seed) == 1, folds(arrivals, _PARTS, seed))
