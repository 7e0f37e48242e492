"""Figures: exact intervals, delays with misses, and how they are written in a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import beta, chi2


class Rate(NamedTuple):
    """Events in so many days, and their exact Poisson interval at 95 % (Garwood 1936), both in 30 days."""

    events: int
    days: float

    @property
    def a_month(self) -> float:
        """Events in 30 days."""
        return self.events * 30.0 / self.days

    @property
    def interval(self) -> tuple[float, float]:
        """The interval of `a_month`."""
        low = float(chi2.ppf(0.025, 2 * self.events)) / 2 if self.events else 0.0
        high = float(chi2.ppf(0.975, 2 * self.events + 2)) / 2
        return low * 30.0 / self.days, high * 30.0 / self.days

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.a_month:.2f} ({low:.2f} to {high:.2f})"


class Share(NamedTuple):
    """Hits of tries, and their exact binomial interval at 95 % (Clopper & Pearson 1934)."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        """The share; NaN of nothing."""
        return self.hits / self.of if self.of else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """The interval of `value`."""
        low = float(beta.ppf(0.025, self.hits, self.of - self.hits + 1)) if self.hits else 0.0
        high = float(beta.ppf(0.975, self.hits + 1, self.of - self.hits)) if self.hits < self.of else 1.0
        return low, high

    def __str__(self) -> str:
        if not self.of:
            return "-"
        low, high = self.interval
        return f"{100 * self.value:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


class Delays(NamedTuple):
    """Exchanges from a change to its alarm; a miss counts as the horizon, so every quantile is a lower bound of it."""

    found: tuple[float, ...]
    horizon: float

    @classmethod
    def of(cls, delays: Iterable[float], horizon: float) -> Delays:
        """Take infinite delays, and those beyond the horizon, for misses."""
        return cls(tuple(min(float(delay), horizon) for delay in delays), horizon)

    @property
    def missed(self) -> int:
        """Runs without an alarm up to the horizon."""
        return sum(delay >= self.horizon for delay in self.found)

    def quantile(self, q: float) -> float:
        """Return a quantile; of two values the later, so that a miss is never averaged away."""
        return float(np.quantile(self.found, q, method="higher"))

    @property
    def mean(self) -> float:
        """The mean restricted to the horizon."""
        return float(np.mean(self.found))

    def power(self, within: float) -> float:
        """Return the share of runs with an alarm within so many exchanges."""
        return float(np.mean([delay < self.horizon and delay <= within for delay in self.found]))

    def write(self, q: float) -> str:
        """Return a quantile in words."""
        value = self.quantile(q)
        return f"> {self.horizon:,.0f}" if value >= self.horizon else f"{value:,.0f}"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table; the first column is text, the others are numbers."""
    lines = [f"| {' | '.join(head)} |", "|---|" + "--:|" * (len(head) - 1)]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"
