"""Equal texts with other rewards: how a recorded history shows that its scorer changed.

Files of exchanges may carry rewards. Where the same prompt with the same response stands on both sides, one scorer with
whatever noise gives two rewards that could as well be exchanged for each other, so their difference is symmetric around
zero; a changed scorer makes it lean to one side (the mean moved) or go with the rewards themselves (the scale did;
Pitman 1939, Morgan 1939). Each reward is used in one pair at most.

Law of this file: pure, and exact without any assumption about the noise: one look flips the signs of the differences
(Fisher 1935), a stream bets on them by exp(ax - a²x²/2), which is an e-value for any symmetric x (de la Peña 1999).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.sketch.scored import Scored

Floats = NDArray[np.float64]

_FLIPS, _FLIPS_AT_ONCE = 9_999, 1_000
# With fewer pairs no pattern of signs is rare enough.
FEWEST_PAIRS = 12
# Differences smaller than this share of the rewards' spread are arithmetic.
_ARITHMETIC = 1e-4
_STAKES = np.array([0.25, 0.5, 1.0, 2.0, 4.0])
_LOG_CAP = 40.0
# Share of given rewards from which on a side's rewards are the file's, and up to which they are the scorer's.
_MOSTLY, _HARDLY = 0.9, 0.1


class Pairs:
    """Rewards of known texts, each handed out once."""

    def __init__(self, known: Scored) -> None:
        self._rewards: dict[tuple[str, str], deque[tuple[float, bool]]] = defaultdict(deque)
        for row, exchange in enumerate(known.exchanges):
            reward = float(known.reward[row])
            if exchange.response is not None and not np.isnan(reward):
                key = (exchange.prompt, exchange.response)
                self._rewards[key].append((reward, exchange.reward is not None))
        rewards = known.reward[~np.isnan(known.reward)].astype(np.float64)
        self.scale = max(float(rewards.std()), 1e-9) if len(rewards) else 1.0

    def match(self, scored: Scored, rows: Sequence[int]) -> Floats:
        """Return (k, 2): the known and the present reward of those rows whose text is known and that carry one.

        Rewards that the scorer gave to both sides are no news: it is the same scorer.
        """
        found = []
        for row in rows:
            exchange, reward = scored.exchanges[row], float(scored.reward[row])
            waiting = self._rewards.get((exchange.prompt, exchange.response or ""))
            if waiting and exchange.response is not None and not np.isnan(reward):
                before, given = waiting.popleft()
                if given or exchange.reward is not None:
                    found.append((before, reward))
        return np.array(found, dtype=np.float64).reshape(-1, 2)


def symmetric_p(pairs: Floats, scale: float, seed: int = 0) -> float:
    """Return the p-value of `both columns come from one scorer`; 1 where there are too few pairs to say."""
    difference = _differences(pairs, scale)
    if int((difference != 0.0).sum()) < FEWEST_PAIRS:
        return 1.0
    level = pairs.mean(axis=1) / scale
    columns = np.column_stack([difference, difference * (level - np.median(level))])
    columns /= np.sqrt((columns**2).sum(axis=0)) + 1e-12
    observed = float(np.abs(columns.sum(axis=0)).max())
    rng, as_far, done = np.random.default_rng(seed), 0, 0
    while done < _FLIPS:
        count = min(_FLIPS_AT_ONCE, _FLIPS - done)
        signs = rng.integers(0, 2, size=(count, len(columns))).astype(np.float64) * 2.0 - 1.0
        as_far += int((np.abs(signs @ columns).max(axis=1) >= observed - 1e-12).sum())
        done += count
    return (1 + as_far) / (1 + _FLIPS)


def _differences(pairs: Floats, scale: float) -> Floats:
    difference = (pairs[:, 1] - pairs[:, 0]) / scale
    return np.where(np.abs(difference) < _ARITHMETIC, 0.0, difference)


class PairEvidence(NamedTuple):
    """Log wealth of every bet (each stake, both directions): a CUSUM of e-values, so it never grows by waiting."""

    log_wealth: Floats
    pairs: int = 0

    @classmethod
    def start(cls) -> PairEvidence:
        """Return evidence of nothing yet."""
        return cls(np.zeros(2 * len(_STAKES)))

    def advance(self, pairs: Floats, scale: float) -> PairEvidence:
        """Take in new pairs, one after the other."""
        wealth, stakes = self.log_wealth, np.concatenate([_STAKES, -_STAKES])
        for x in _differences(pairs, scale):
            wealth = np.minimum(np.maximum(wealth, 0.0) + stakes * x - stakes**2 * x * x / 2, _LOG_CAP)
        return PairEvidence(wealth, self.pairs + len(pairs))

    @property
    def total(self) -> float:
        """Log of the mean wealth."""
        return float(np.logaddexp.reduce(self.log_wealth) - np.log(len(self.log_wealth)))


def given_share(scored: Scored) -> float:
    """Return which share of the rewarded exchanges got their reward from the file."""
    rewarded = np.flatnonzero(~np.isnan(scored.reward)).tolist()
    if not rewarded:
        return 0.0
    return sum(scored.exchanges[row].reward is not None for row in rewarded) / len(rewarded)


def two_sources(known: Scored, window: Scored) -> bool:
    """Tell whether the rewards of one side come from its file and those of the other from the scorer."""
    shares = sorted((given_share(known), given_share(window)))
    return shares[0] <= _HARDLY and shares[1] >= _MOSTLY


def given_by_files(*sides: Scored) -> bool:
    """Tell whether the rewards of every side are its file's, so that nothing known of the scorer's is true of them."""
    return all(given_share(side) >= _MOSTLY for side in sides)
