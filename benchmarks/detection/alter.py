"""Altering exchanges: copies of a pool's rows with another reward, cut short, emptied or failed, and other proportions.

Law: a copy differs from its row in what it is named for and in nothing else; a pool is only ever appended to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.pools import Data, Pool, as_pool
from benchmarks.detection.streams import Rows
from monitor.contract import Exchange
from monitor.evidence.twosample import join
from monitor.sketch.features import Features

# In other proportions every third topic is asked for so many times as often.
_TILT = 4
# Copies that need their texts read again are made of so many rows.
_COPIES = 2000

Rewards = NDArray[np.float32]


class Growing:
    """A pool that is appended to; each append gives the new rows."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def append(self, more: Pool) -> Rows:
        """Append a pool; its prompts keep the topics that equal prompts have here."""
        first = self.pool.size
        known = dict(zip((e.prompt for e in self.pool.scored.exchanges), self.pool.topic, strict=True))
        topic = [known.get(e.prompt, own) for e, own in zip(more.scored.exchanges, more.topic, strict=True)]
        self.pool = Pool(
            join(self.pool.scored, more.scored),
            joined(self.pool.features, more.features),
            np.concatenate([self.pool.topic, np.asarray(topic, dtype=np.intp)]),
        )
        return np.arange(first, self.pool.size)

    def with_reward(self, rows: Rows, change: Callable[[Rewards], Rewards]) -> Rows:
        """Append rows with other rewards."""
        part = taken(self.pool, rows)
        return self.append(part._replace(scored=part.scored._replace(reward=change(part.scored.reward))))

    def altered(self, data: Data, rows: Rows, alter: Callable[[Exchange], Exchange]) -> Rows:
        """Append rows with altered answers, scored anew."""
        exchanges = [alter(self.pool.scored.exchanges[row]) for row in rows[:_COPIES]]
        return self.append(as_pool(data.scored(exchanges), self.pool.topic[rows[:_COPIES]]))


def taken(pool: Pool, rows: Rows) -> Pool:
    """Return these rows of a pool."""
    features = _columnwise(lambda column: column[rows], pool.features)
    return Pool(pool.scored.take(rows), features, pool.topic[rows])


def joined(first: Features, second: Features) -> Features:
    """Return the features of both, one after the other."""
    return _columnwise(lambda *columns: np.concatenate(columns), first, second)


def _columnwise(how: Callable[..., NDArray[Any]], *each: Features) -> Features:
    """Apply a function to every column of features, flags among them, whatever columns there are."""
    merged: dict[str, Any] = {
        name: how(*(getattr(features, name) for features in each))
        for name in Features._fields
        if name != "flags"
    }
    flags = {name: how(*(features.flags[name] for features in each)) for name in each[0].flags}
    return Features(**merged, flags=flags)


def tilted(pool: Pool, rows: Rows) -> Rows:
    """Return rows to draw from such that every third topic is asked for more often."""
    times = np.where(pool.topic[rows] % 3 == 0, _TILT, 1)
    return np.asarray(np.repeat(rows, times), dtype=np.intp)


def a_third(pool: Pool, rows: Rows) -> Rows:
    """Return the rows of every third topic."""
    return np.asarray(rows[pool.topic[rows] % 3 == 0], dtype=np.intp)


def same_prompts(pool: Pool, rows: Rows, others: Rows) -> Rows:
    """Return for each row one of `others` with its prompt; rows without one are left out."""
    of = {pool.scored.exchanges[other].prompt: int(other) for other in others}
    found = [of[prompt] for row in rows if (prompt := pool.scored.exchanges[row].prompt) in of]
    return np.asarray(found, dtype=np.intp)


def by_length(pool: Pool, rows: Rows, of: int) -> tuple[Rows, Rows]:
    """Take answers to the same question as they come, so many together; return the longest ones, and the shortest."""
    waiting: dict[str, list[int]] = {}
    longest, shortest = [], []
    for row in rows.tolist():
        mine = waiting.setdefault(pool.scored.exchanges[row].prompt, [])
        mine.append(row)
        if len(mine) == of:
            mine.sort(key=lambda each: len(pool.scored.exchanges[each].response or ""))
            shortest.append(mine[0])
            longest.append(mine[-1])
            mine.clear()
    return np.array(longest, dtype=np.intp), np.array(shortest, dtype=np.intp)


def cut_short(e: Exchange) -> Exchange:
    """Return an exchange whose answer met the token limit halfway."""
    response = e.response or ""
    return msgspec.structs.replace(e, response=response[: max(1, len(response) // 2)], finish_reason="length")


def emptied(e: Exchange) -> Exchange:
    """Return an exchange whose answer holds nothing."""
    return msgspec.structs.replace(e, response="")


def failed(e: Exchange) -> Exchange:
    """Return an exchange that the model's server did not serve."""
    return msgspec.structs.replace(e, response=None, status=500)
