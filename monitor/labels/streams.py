"""One stream of yes-or-no events: has its rate risen? Evidence that may be looked at after every event.

A Shiryaev-Roberts e-detector, M <- (M + t) e with t the minutes since the last event (Shin, Ramdas & Rinaldo 2024):
whatever the looking, E[M] is at most the time passed while the rate is what it was. What it was is not known but
learnt: e is the ratio of a bet's probability of the event to a beta-binomial predictive probability given what came
before. The last `LAG` events are not yet learnt from, so that a change does not become the norm while it is being
noticed; a cautious prior and a small tolerance pay for that (benchmarks/detection/labels.py measures whether they do). A
stream has strata with rates of their own (the class of the gold label); half of its bets are on a rise in all of them,
half on a rise in one, which is what a changed guideline does. Nothing is bet before `BURN_IN` events.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, inf, log, log1p, sqrt

import msgspec

# A bet moves a rate p to p + (1 - p) rise.
RISES = (0.05, 0.1, 0.2, 0.4, 0.7)
BURN_IN = 20
# A stratum's rate is first taken to be anything from 0 to 1, alike (Laplace): cautious where little was seen.
_PRIOR = (1.0, 2.0)
# Newest events that are not learnt from yet; of a stream that has few, half of them.
LAG = 100
# Tolerance around the learnt rate, in its standard errors.
_TOLERANCE = 0.4
# Minutes that one event may add to the wealth.
_LONGEST_STEP = 7 * 24 * 60.0
# Events in a block from which overdispersion is measured, and blocks' worth of trust in there being little.
_BLOCK, _TRUST = 25, 4.0
# Wealth grows no further: it only would take longer to fall.
_CEILING = 22.0
_ALL = ""
_BETS = len(RISES)


class Stream(msgspec.Struct, frozen=True, array_like=True):
    """Counts by stratum (events, hits), events not counted yet, log wealth of the bets by stratum (`""`: in all).

    `onset` is since when each bet grows, `last` when the last event was; `spread` sums squared standardised block
    rates, `block` is the one being filled.
    """

    counts: dict[str, tuple[float, float]] = {}
    # The newest events in their order: stratum, led by + for a hit and - for none.
    recent: tuple[str, ...] = ()
    wealth: dict[str, tuple[float, ...]] = {}
    onset: dict[str, tuple[float, ...]] = {}
    last: float | None = None
    spread: tuple[float, float] = (0.0, 0.0)
    block: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def n(self) -> float:
        """Events so far."""
        return self._learnt + len(self.recent)

    @property
    def _learnt(self) -> float:
        return sum(n for n, _ in self.counts.values())

    def expected(self, stratum: str) -> float:
        """Return the rate that events of a stratum have had, with the tolerance."""
        n, hits = self.counts.get(stratum, (0.0, 0.0))
        rate = (hits + _PRIOR[0]) / (n + _PRIOR[1])
        return min(0.95, rate + _TOLERANCE * sqrt(rate * (1 - rate) / (n + _PRIOR[1])))

    @property
    def recovered(self) -> bool:
        """Whether the newest events, of which there are enough to say so, were hits no more often than before."""
        expected = sum(self.expected(event[1:]) for event in self.recent)
        return len(self.recent) >= LAG // 2 and sum(event[0] == "+" for event in self.recent) <= expected

    def at_rest(self) -> Stream:
        """Return the stream with what it has learnt and without evidence."""
        return msgspec.structs.replace(self, wealth={}, onset={})

    def with_event(self, stratum: str, *, hit: bool) -> Stream:
        """Remember an event, and learn from those that are old enough."""
        recent, counts, learnt = (*self.recent, f"{'-+'[hit]}{stratum}"), dict(self.counts), self._learnt
        while len(recent) > min(LAG, learnt):
            name = recent[0][1:]
            n, hits = counts.get(name, (0.0, 0.0))
            counts[name] = (n + 1.0, hits + (recent[0][0] == "+"))
            recent, learnt = recent[1:], learnt + 1.0
        return msgspec.structs.replace(self, counts=counts, recent=recent)

    @property
    def overdispersion(self) -> float:
        """Variance of block rates against the binomial's, at least 1."""
        squares, blocks = self.spread
        return max(1.0, (_TRUST + squares) / (_TRUST + blocks))

    def log_wealth(self) -> float:
        """Return the log of the weighted mean of the bets."""
        return _log_mean(self.wealth)

    def richest_onset(self) -> float:
        """Return when the richest bet began to grow (epoch seconds)."""
        best = max(
            (
                (value, self.onset[name][i])
                for name, values in self.wealth.items()
                for i, value in enumerate(values)
            ),
            default=(-inf, 0.0),
        )
        return best[1]


def learn(stream: Stream, stratum: str, *, hit: bool) -> Stream:
    """Count an event of a time that is trusted; nothing is bet on it."""
    n, hits = stream.counts.get(stratum, (0.0, 0.0))
    return msgspec.structs.replace(stream, counts={**stream.counts, stratum: (n + 1.0, hits + hit)})


def advance(stream: Stream, stratum: str, *, hit: bool, now: float, clustered: bool = False) -> Stream:
    """Take in one event. `clustered` tempers the bets by the measured overdispersion."""
    if stream.n < BURN_IN:
        return msgspec.structs.replace(stream.with_event(stratum, hit=hit), last=now)
    expected = stream.expected(stratum)
    temper = stream.overdispersion if clustered else 1.0
    gains = [log((expected + (1 - expected) * r) / expected) if hit else log1p(-r) for r in RISES]
    minutes = min(_LONGEST_STEP, max(0.0, now - (now if stream.last is None else stream.last)) / 60.0)
    fresh = log(minutes) if minutes > 0 else -inf
    wealth, onset = dict(stream.wealth), dict(stream.onset)
    for name in {_ALL, stratum, *wealth}:
        old, since = wealth.get(name, (-inf,) * _BETS), onset.get(name, (now,) * _BETS)
        onset[name] = tuple(now if a <= fresh else b for a, b in zip(old, since, strict=True))
        grown = (_log_add(a, fresh) for a in old)
        if name in (_ALL, stratum):
            grown = (min(_CEILING, a + gain / temper) for a, gain in zip(grown, gains, strict=True))
        wealth[name] = tuple(grown)
    spread, block = _dispersed(stream, hit=hit, expected=expected)
    counted = stream.with_event(stratum, hit=hit)
    return Stream(counted.counts, counted.recent, wealth, onset, now, spread, block)


def _dispersed(
    stream: Stream, *, hit: bool, expected: float
) -> tuple[tuple[float, float], tuple[float, float, float]]:
    n, surplus, variance = stream.block
    n, surplus, variance = n + 1, surplus + hit - expected, variance + expected * (1 - expected)
    if n < _BLOCK:
        return stream.spread, (n, surplus, variance)
    squares, blocks = stream.spread
    return (squares + surplus**2 / max(variance, 1e-9), blocks + 1), (0.0, 0.0, 0.0)


def _log_mean(wealth: Mapping[str, tuple[float, ...]]) -> float:
    """Half the weight on bets in all strata, half shared by the strata; with one stratum they are the same bets."""
    strata = [name for name in wealth if name != _ALL]
    own = [_log_sum(wealth[name]) - log(_BETS) for name in strata]
    both = _log_sum(wealth.get(_ALL, ())) - log(_BETS)
    if len(strata) < 2:
        return both
    return _log_add(both - log(2), _log_sum(own) - log(2 * len(strata)))


def _log_add(a: float, b: float) -> float:
    high, low = max(a, b), min(a, b)
    return high if low == -inf else high + log1p(exp(low - high))


def _log_sum(values: tuple[float, ...] | list[float]) -> float:
    total = -inf
    for value in values:
        total = _log_add(total, value)
    return total
