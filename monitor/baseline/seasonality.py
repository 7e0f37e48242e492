"""Time of day and week: what the baseline leads one to expect of each hour.

Traffic differs by hour, so a window is compared with the baseline of its own hours: the slot mixture of its traffic,
`sum_h q_h p_h` with `p_h = (c_h + k p) / (n_h + k)`, where c_h are the sums of slot h over n_h exchanges and p the
baseline's mean. With two weeks of history a slot is an hour of the week; with a day, an hour of the day, weekends
apart; with less there are none, and that is said. The prior weight k is empirical Bayes (Efron & Morris 1973): one over
the largest variance between slots that any normal score shows, so that what no score needs costs little. An expectation
drawn from few exchanges is uncertain by 1 / (n_h + k) of a score's variance; whoever uses it must take that in. For a
score that differs less between slots than that one, the uncertainty is smaller: `typical`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.sketch.hours import HOURS, hour_of_week

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

_DAY_S = 86400.0
_WEEKS_S = 14 * _DAY_S
# A history a little short of two weeks or of a day counts as one: its last hours are seen once less.
_NEARLY = 0.99
# Slots differ at least by this variance, however alike they look: no slot is known better than that.
_LEAST_VARIANCE = 1e-4
_FEWEST_SLOTS = 8
# Hour of the week -> hour of the day, weekends apart.
_BY_DAY = np.array([hour % 24 + 24 * (hour // 24 >= 5) for hour in range(HOURS)], dtype=np.intp)


class Calendar(NamedTuple):
    """When n exchanges came: `slot` int (n,), and `visit` int (n,), the hour since the epoch. None of it if untimed."""

    kind: str
    why: str
    zone: str
    slot: Rows
    visit: Rows

    @property
    def slots(self) -> int:
        """How many slots there are; 0 where hours are not told apart."""
        return {"hour_of_week": HOURS, "hour_of_day": 48}.get(self.kind, 0)


class Expected(NamedTuple):
    """The mean vector (size,) of an exchange at some hours, and how uncertain it is, in units of a score's variance.

    `variance`: at most, for the score that differs most between slots. `typical`: for the median score. `slot`: where
    most of the exchanges are.
    """

    mean: Floats
    variance: float
    typical: float
    slot: int


class Seasonality(NamedTuple):
    """S slots: `seen` exchanges of the baseline (S,), shrunk `means` of sketch vectors (S, size).

    `prior` is the weight of the baseline's mean in exchanges, `spread` the median score's variance between slots. `kind`: hour_of_week, hour_of_day or none; `why` in words; `zone` of the clock.
    """

    kind: str
    why: str
    zone: str
    seen: Floats
    means: NDArray[np.float32]
    prior: float
    spread: float

    def expected(self, hours: Floats) -> Expected | None:
        """Return what exchanges at these hours of the week (168,) are expected to be; None where nothing is known."""
        total = hours.sum()
        if self.kind == "none" or not total:
            return None
        share = hours if self.kind == "hour_of_week" else np.bincount(_BY_DAY, weights=hours)
        share = share / total
        used = np.flatnonzero(share)
        mean = share[used] @ self.means[used].astype(np.float64)
        weight, square = self.seen[used] + self.prior, share[used] ** 2
        variance = float((square / weight).sum())
        typical = float((square * (self.seen[used] + self.spread * self.prior**2) / weight**2).sum())
        return Expected(mean, variance, typical, int(np.argmax(share)))

    @property
    def repeats(self) -> float:
        """How often a slot comes back within a week: its error then comes back, too."""
        return HOURS / len(self.seen) if len(self.seen) else 0.0


NONE = Seasonality("none", "", "UTC", np.zeros(0), np.zeros((0, 0), dtype=np.float32), 0.0, 0.0)


def read_calendar(times: Floats, zone: str) -> Calendar:
    """Tell from the times (n,) of a baseline's exchanges, epoch seconds, which slots its history allows."""
    nowhere = np.zeros(len(times), dtype=np.intp)
    if not len(times) or times.min() <= 0 or times.max() <= times.min():
        return Calendar("none", "its exchanges carry no times", zone, nowhere, nowhere)
    days = (times.max() - times.min()) / _DAY_S
    visit = (times // 3600).astype(np.intp)
    if days < _NEARLY:
        why = f"it covers {24 * days:.1f} hours, less than a day: hours it has not seen may look like drift"
        return Calendar("none", why, zone, nowhere, visit)
    hour = hour_of_week(times, zone)
    if days * _DAY_S >= _NEARLY * _WEEKS_S:
        empty = HOURS - len(np.unique(hour))
        return Calendar("hour_of_week", _covers(days, empty, HOURS), zone, hour, visit)
    slot = _BY_DAY[hour]
    return Calendar("hour_of_day", _covers(days, 48 - len(np.unique(slot)), 48), zone, slot, visit)


def _covers(days: float, empty: int, slots: int) -> str:
    gaps = f", nothing of {empty} of {slots} slots" if empty else ""
    return f"it covers {days:.1f} days{gaps}"


def variances_between(calendar: Calendar, families: list[tuple[Rows, Floats]]) -> tuple[float, float]:
    """Return the largest and the median variance between slots of all scores.

    `families`: rows of the calendar and their scores (m, p), of variance one. The variance between slots is the mean
    product of two halves of each slot's visits, which noise leaves at zero whatever depends on whatever; but not the
    largest of many, which is taken less what noise alone would make of it, sqrt(2 ln m) of its deviations at most.
    """
    found = [_between(calendar, *family) for family in families if len(family[0])]
    if not found:
        return _LEAST_VARIANCE, 0.0
    each = np.concatenate([variances for variances, _ in found])
    by_chance = np.sqrt(2.0 * np.log(len(each)))
    largest = max(float(variances.max() - by_chance * noise) for variances, noise in found)
    return max(_LEAST_VARIANCE, largest), max(0.0, float(np.median(each)))


def _between(calendar: Calendar, rows: Rows, scores: Floats) -> tuple[Floats, float]:
    """Return the variances between slots (p,), and the deviation that noise gives each of them."""
    slot = calendar.slot[rows]
    half = _halves(slot, calendar.visit[rows])
    if len(np.intersect1d(slot[half == 0], slot[half == 1])) < _FEWEST_SLOTS:
        half = np.arange(len(rows)) % 2
    sums = np.zeros((2, calendar.slots, scores.shape[1]))
    np.add.at(sums, (half, slot), scores - scores.mean(axis=0))
    counts = np.zeros((2, calendar.slots))
    np.add.at(counts, (half, slot), 1.0)
    means = sums / np.maximum(counts, 1.0)[:, :, None]
    weight = counts[0] * counts[1] / np.maximum(counts.sum(axis=0), 1.0)
    if not weight.sum():
        return np.zeros(scores.shape[1]), 0.0
    found: Floats = (weight[:, None] * means[0] * means[1]).sum(axis=0) / weight.sum()
    # Means of c scores of variance one have the variance 1 / c, their product 1 / (c c').
    noise = float(np.sqrt((weight**2 / np.maximum(counts[0] * counts[1], 1.0)).sum()) / weight.sum())
    return found, noise


def _halves(slot: Rows, visit: Rows) -> Rows:
    """Return for each row whether its visit is an odd or even one of its slot."""
    pairs, place = np.unique(np.column_stack([slot, visit]), axis=0, return_inverse=True)
    first = np.searchsorted(pairs[:, 0], pairs[:, 0])
    return np.asarray((np.arange(len(pairs)) - first)[place.ravel()] % 2, dtype=np.intp)


def left_over(calendar: Calendar, rows: Rows, scores: Floats, prior: float) -> Floats:
    """Return scores (m, p) less what the other visits of their slot lead one to expect, in the order given.

    Leaving out the own visit makes these residuals what new exchanges will have, error of the expectation included.
    """
    if not calendar.slots or not len(rows):
        return scores
    slot = calendar.slot[rows]
    visits, visit = np.unique(np.column_stack([slot, calendar.visit[rows]]), axis=0, return_inverse=True)
    visit = visit.ravel()
    own, all_of = np.zeros((len(visits), scores.shape[1])), np.zeros((calendar.slots, scores.shape[1]))
    np.add.at(own, visit, scores)
    np.add.at(all_of, slot, scores)
    count, seen = np.bincount(visit), np.bincount(slot, minlength=calendar.slots)
    mean = scores.mean(axis=0)
    of = visits[:, 0]
    expected = (all_of[of] - own + prior * mean) / (seen[of] - count + prior)[:, None]
    return np.asarray(scores - expected[visit], dtype=np.float64)
