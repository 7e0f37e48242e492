"""Evidence that the model answers its fixed prompts differently: bets on paired differences, under their own budget.

The same machine as for traffic (`monitor/evidence/edetector.py`): Shiryaev-Roberts sums of e-values on normal scores,
averaged. What it watches differs: an answer minus the mean of earlier answers to the same prompt, so that neither
questions nor their mix have any part in it; and whether an answer's words were ever said before, which tells at once
where a model answers without chance. The null is a band of three standard errors around the reference's mean.

Law of this file: pure. Names that rest on the scorer can be left out when the scorer has changed.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.baseline.normal_scores import fit_normal_scores
from monitor.baseline.overdispersion import overdispersion
from monitor.canary.answers import DIFFERENT, WATCHED, Reference, residuals_of
from monitor.evidence.edetector import LONGEST_STEP, MINUTES_PER_MONTH

Floats = NDArray[np.float64]

# Part of a route's false-alarm budget that goes to its canaries, where it has any.
BUDGET_SHARE = 0.2
_STAKES = np.array([0.2, 0.4, 0.8, 1.6])
_RISES = np.array([0.1, 0.3, 0.6, 0.9])
# Shares of the budget; the rest is the style's.
_SHARES = {"reward": 0.15, "distance": 0.25, DIFFERENT: 0.20}
_TOLERANCE = 3.0
_LOG_HEADROOM = 6.0
# What a scorer gives, and what therefore says nothing once the scorer changed.
FROM_SCORER = frozenset({"reward", "distance"})


class Wealth(msgspec.Struct, frozen=True):
    """Log wealth of every bet as bytes, when each began to rise, and since when a standing alarm dates the change."""

    log_wealth: bytes
    onset: bytes
    at: float
    since: float | None = None


class Bets:
    """All bets against one reference."""

    def __init__(self, reference: Reference, false_alarms_per_month: float) -> None:
        residuals = residuals_of(reference)
        self.log_alarm = float(np.log(MINUTES_PER_MONTH / (BUDGET_SHARE * false_alarms_per_month)))
        self._scores = fit_normal_scores(residuals)
        own = self._scores.transform(residuals)
        varying = own.std(axis=0) > 1e-9
        factor = np.where(varying, overdispersion(own), 1.0)
        # Only further away is news; nearer is what new answers to known prompts are anyway.
        self._sides = [(name, sign) for name in WATCHED for sign in ((1,) if name == "distance" else (1, -1))]
        place = np.array([WATCHED.index(name) for name, _ in self._sides])
        self._place, self._sign = place, np.array([float(sign) for _, sign in self._sides])
        self._tolerance = _TOLERANCE * np.sqrt(factor[place] / len(residuals))
        self._variance = factor[place][:, None]
        rate = (reference.different + 0.5) / (reference.of + 1.0)
        slack = _TOLERANCE * np.sqrt(rate * (1 - rate) / reference.of) + 3.0 / reference.of
        self._null = min(rate + slack, 0.98)
        self._rise = self._null + (1.0 - self._null) * _RISES
        self.names = [name for name, _ in self._sides for _ in _STAKES] + [DIFFERENT] * len(_RISES)
        self._log_weight = self._weights()

    def _weights(self) -> Floats:
        style = 1.0 - sum(_SHARES.values())
        many = {name: self.names.count(name) for name in set(self.names)}
        styled = sum(count for name, count in many.items() if name not in _SHARES)
        shares = [_SHARES[name] / many[name] if name in _SHARES else style / styled for name in self.names]
        return np.asarray(np.log(shares), dtype=np.float64)

    def start(self, now: float) -> Wealth:
        """Return the wealth before the first bet."""
        n = len(self.names)
        return Wealth(np.full(n, -np.inf).tobytes(), np.zeros(n).tobytes(), now)

    def scores(self, residual: Floats) -> Floats:
        """Return the normal scores (F + 1,) of a residual."""
        found: Floats = self._scores.transform(residual[None, :])[0]
        return found

    def advance(self, wealth: Wealth, residual: Floats, *, different: bool, now: float) -> Wealth:
        """Take in one answer."""
        signed = self._sign * self.scores(residual)[self._place] - self._tolerance
        stakes = _STAKES[None, :]
        won = stakes * signed[:, None] - self._variance * stakes**2 / 2
        ratio = self._rise / self._null if different else (1.0 - self._rise) / (1.0 - self._null)
        before, onset = np.frombuffer(wealth.log_wealth), np.frombuffer(wealth.onset)
        fresh = float(np.log(np.clip((now - wealth.at) / 60.0, 1e-9, LONGEST_STEP)))
        onset = np.where(before <= fresh, now, onset)
        grown = np.logaddexp(before, fresh) + np.concatenate([won.ravel(), np.log(ratio)])
        log_wealth = np.minimum(grown, self.log_alarm - self._log_weight + _LOG_HEADROOM)
        return self._dated(log_wealth, onset, now, wealth.since)

    def without(self, wealth: Wealth, names: frozenset[str]) -> Wealth:
        """Return the wealth of all bets but those on these names; what these carried, the others must reach alone."""
        whole = np.frombuffer(wealth.log_wealth)
        mine = np.array([name in names for name in self.names])
        left, dropped = np.where(mine, -np.inf, whole), np.where(mine, whole, -np.inf)
        since = None if self.total(dropped) > self.total(left) else wealth.since
        return self._dated(left, np.frombuffer(wealth.onset), wealth.at, since)

    def _dated(self, log_wealth: Floats, onset: Floats, now: float, since: float | None) -> Wealth:
        alarmed = self.total(log_wealth) >= (self.log_alarm / 2 if since is not None else self.log_alarm)
        if alarmed and since is None:
            part = log_wealth + self._log_weight
            since = float(onset[part >= part.max() - 1.0].max())
        return Wealth(log_wealth.tobytes(), onset.tobytes(), now, since if alarmed else None)

    def total(self, log_wealth: Floats) -> float:
        """Return the log of the weighted mean wealth."""
        return float(np.logaddexp.reduce(log_wealth + self._log_weight))

    def total_of(self, wealth: Wealth) -> float:
        """Return the same of a stored wealth."""
        return self.total(np.frombuffer(wealth.log_wealth))

    def leading(self, wealth: Wealth) -> str:
        """Return what the richest bet is on."""
        return self.names[int(np.argmax(np.frombuffer(wealth.log_wealth) + self._log_weight))]
