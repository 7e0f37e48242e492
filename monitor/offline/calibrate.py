"""Calibrating on a team's own history: what its budgets and thresholds would have cost, and what they would have seen.

The history is taken to be driftless. Again and again half of its blocks become a baseline and the other half a stream;
the live detector looks at every minute of it for several budgets at once, and the signals are measured on windows as
the monitor would. So the alarm rate holds for this traffic with its sessions, users and days, not for a textbook's. In
the order of time the same is done once, by `backtest`: that is what the history itself would have raised.

Law of this file: pure; what it returns says how sure it is, because a history is never long enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from monitor.baseline import Baseline, build_baseline
from monitor.contract import Signal, Tier
from monitor.contract.config import BaselineConfig, Detection
from monitor.evidence.edetector import LONGEST_STEP, NOWHERE, Detector
from monitor.evidence.power import smallest_seen
from monitor.offline.backtest import backtest
from monitor.offline.blocks import Blocks, HistoryTooShort, Rows, cut, split
from monitor.offline.noise import Crossing, crossings, raised_thresholds
from monitor.sketch.bucket import Bucket
from monitor.sketch.features import extract
from monitor.sketch.fold import fold_rows
from monitor.sketch.scored import Scored
from monitor.verdict.rewards import reward_scale
from monitor.verdict.signals import measure

Floats = NDArray[np.float64]

FEWEST = 400
_BUDGETS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0)
# Windows measured in each stream.
_WINDOWS = 60
# A window should hold so many times the fewest exchanges on average, so that quiet hours are not blind.
_FULL = 2.0


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """Alarms of one budget: how many in how many days of traffic, and that in 30 days with its exact 95 % interval."""

    budget: float
    alarms: int
    days: float
    per_month: float
    low: float
    high: float


class Raised(msgspec.Struct, frozen=True, kw_only=True):
    """An alert of the history in its own order."""

    exchange: int
    time: float
    tier: Tier
    headline: str


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was found. `seen_in_a_day`: the smallest changes, by name, at the proposed budget."""

    exchanges: int
    days: float
    per_day: float
    block: str
    blocks: int
    resamples: int
    wanted: float
    rates: tuple[Rate, ...]
    history_alarms: int
    history_days: float
    history: tuple[Raised, ...]
    thin_windows: float
    crossings: tuple[Crossing, ...]
    seen_in_a_day: dict[str, float]
    proposed: Detection
    notes: tuple[str, ...]


class Stream(NamedTuple):
    """A driftless stream: each minute's sketch and the minutes since the one before it."""

    baseline: Baseline
    minutes: list[tuple[float, Bucket]]
    days: float


def calibrate(
    history: Scored,
    *,
    scorer: str,
    learning: BaselineConfig,
    detection: Detection,
    resamples: int,
    progress: Callable[[int], None] = lambda _: None,
) -> Calibration:
    """Calibrate on scored exchanges of one route, timed and in order. Raises HistoryTooShort and BaselineError."""
    if len(history.exchanges) < FEWEST:
        raise HistoryTooShort(
            f"the history has {len(history.exchanges)} exchanges; expected {FEWEST} at the least"
        )
    blocks, wanted = cut(history.exchanges), detection.false_alarms_per_month
    budgets = sorted({*_BUDGETS, wanted})
    alarms, days = np.zeros(len(budgets), dtype=np.int64), 0.0
    windows: list[dict[str, Signal]] = []
    thin = looked = 0
    for resample in range(resamples):
        rng = np.random.default_rng([learning.seed, resample])
        stream = _stream(history, blocks, rng, scorer, learning)
        alarms += count_alarms(stream, budgets)
        days += stream.days
        for window in _windows(stream, detection, rng):
            looked += 1
            thin += window.n < detection.min_window
            if window.n >= detection.min_window:
                windows.append(measure(stream.baseline, window))
        progress(resample + 1)
    rates = tuple(_rate(b, int(n), days) for b, n in zip(budgets, alarms, strict=True))
    per_day = len(history.exchanges) / blocks.days
    proposed = propose(rates, windows, detection, per_day)
    replayed, first = _as_it_happened(history, scorer, learning, detection)
    draft = Calibration(
        exchanges=len(history.exchanges),
        days=blocks.days,
        per_day=per_day,
        block=blocks.span,
        blocks=len(blocks.rows),
        resamples=resamples,
        wanted=wanted,
        rates=rates,
        history_alarms=len(replayed),
        history_days=blocks.days / 2,
        history=replayed,
        thin_windows=thin / max(1, looked),
        crossings=tuple(crossings(windows, detection.thresholds)),
        seen_in_a_day=_seen(first, proposed, per_day),
        proposed=proposed,
        notes=(),
    )
    return msgspec.structs.replace(draft, notes=tuple(_notes(draft)))


def _stream(
    history: Scored, blocks: Blocks, rng: np.random.Generator, scorer: str, learning: BaselineConfig
) -> Stream:
    """Make a baseline of half of the blocks and a stream of the others."""
    rows, rest = split(blocks, rng, learning.size)
    route = history.exchanges[0].route
    baseline = build_baseline(history.take(rows), route=route, scorer=scorer, settings=learning, created=0.0)
    minutes = [minute for block in rest for minute in _minutes(baseline, history, block)]
    return Stream(baseline, minutes, len(rest) * blocks.minutes / 1440.0)


def _minutes(baseline: Baseline, history: Scored, block: Rows) -> Iterator[tuple[float, Bucket]]:
    """Yield the sketches of a block's minutes and the minutes since the one before; the first comes after one."""
    part = history.take(block)
    features = extract(part)
    encoded = baseline.encode(part, features)
    minute = np.array([exchange.time // 60.0 for exchange in part.exchanges], dtype=np.int64)
    before = None
    for value in np.unique(minute).tolist():
        rows = np.flatnonzero(minute == value)
        yield (
            (1.0 if before is None else float(value - before)),
            fold_rows(baseline, part, features, encoded, rows),
        )
        before = value


def count_alarms(stream: Stream, budgets: Sequence[float]) -> NDArray[np.int64]:
    """Return for each budget how often the live detector raises its alarm along the stream.

    It is `Detector.advance` for several budgets at once: they share the bets and differ in what is enough. Courses begin
    anew for all of them when they do for the one that holds the least.
    """
    detectors = [Detector(stream.baseline, budget) for budget in budgets]
    enough = np.exp([detector.log_alarm for detector in detectors])
    ceiling = np.exp(np.vstack([detector.log_ceiling for detector in detectors]))
    weights = np.exp(detectors[0].log_weights)
    wealth = np.zeros_like(ceiling)
    standing, alarms = np.zeros(len(budgets), dtype=bool), np.zeros(len(budgets), dtype=np.int64)
    visit, course, predictive = NOWHERE, detectors[0].start().course, detectors[0].is_predictive
    lowest = int(np.argmin([detector.log_alarm for detector in detectors]))
    with np.errstate(over="ignore", under="ignore", divide="ignore"):
        for elapsed, bucket in stream.minutes:
            fresh = min(elapsed, LONGEST_STEP)
            again, course = detectors[0].begin_again(
                np.log(wealth[lowest]), course, float(np.log(fresh)), alarmed=bool(standing[lowest])
            )
            won, course = detectors[0].bet(bucket, visit, course)
            visit = detectors[0].visit_after(visit, bucket)
            grown = np.where(predictive, np.where(again, fresh, wealth), wealth + fresh)
            wealth = np.minimum(grown * np.exp(won), ceiling)
            total = wealth @ weights
            alarmed = total >= np.where(standing, np.sqrt(enough), enough)
            alarms += alarmed & ~standing
            standing = alarmed
    return alarms


def _windows(stream: Stream, detection: Detection, rng: np.random.Generator) -> Iterator[Bucket]:
    """Yield windows of the monitor's length from random places of the stream; one where it is shorter than that."""
    at = np.cumsum([elapsed for elapsed, _ in stream.minutes])
    length = 60.0 * detection.window_hours
    last = float(at[-1]) - length
    starts = rng.uniform(at[0] - 1.0, last, _WINDOWS) if last > at[0] else np.array([at[0] - 1.0])
    empty = Bucket.empty(stream.baseline.id, stream.baseline.shape)
    for start in starts:
        inside = np.flatnonzero((at > start) & (at <= start + length))
        yield reduce(Bucket.merge, (stream.minutes[place][1] for place in inside), empty)


def _rate(budget: float, alarms: int, days: float) -> Rate:
    scale = 30.0 / days
    low = float(chi2.ppf(0.025, 2 * alarms)) / 2 if alarms else 0.0
    high = float(chi2.ppf(0.975, 2 * alarms + 2)) / 2
    return Rate(
        budget=budget,
        alarms=alarms,
        days=days,
        per_month=alarms * scale,
        low=low * scale,
        high=high * scale,
    )


def propose(
    rates: Sequence[Rate], windows: Sequence[dict[str, Signal]], detection: Detection, per_day: float
) -> Detection:
    """Return the configuration with thresholds above this history's noise and a budget that it keeps.

    A threshold is raised where noise reaches it with the evidence that a tier needs, never lowered. The window is made
    longer where too few exchanges fall into it. The budget is the wanted one unless the history alarms
    more often than that beyond chance; then the largest smaller one of which that is not so.
    """
    wanted = next(rate for rate in rates if rate.budget == detection.false_alarms_per_month)
    hours = _FULL * detection.min_window * 24.0 / per_day
    fine = [rate.budget for rate in rates if rate.budget <= wanted.budget and rate.low <= wanted.budget]
    return msgspec.structs.replace(
        detection,
        false_alarms_per_month=max(fine, default=rates[0].budget),
        window_hours=max(detection.window_hours, min(24.0, float(np.ceil(hours)))),
        thresholds=raised_thresholds(windows, detection.thresholds),
    )


def _as_it_happened(
    history: Scored, scorer: str, learning: BaselineConfig, detection: Detection
) -> tuple[tuple[Raised, ...], Baseline]:
    """Run the later half of the history against the earlier one; return the alarms, and that baseline."""
    half = len(history.exchanges) // 2
    rows = np.arange(len(history.exchanges))
    route = history.exchanges[0].route
    baseline = build_baseline(
        history.take(rows[max(0, half - learning.size) : half]),
        route=route,
        scorer=scorer,
        settings=learning,
        created=0.0,
    )
    found = backtest(baseline, history.take(rows[half:]), detection=detection)
    standing, raised = False, []
    for alert in found.alerts:
        if alert.drifted and not standing:
            raised.append(
                Raised(
                    exchange=half + alert.exchange, time=alert.time, tier=alert.tier, headline=alert.headline
                )
            )
        standing = alert.drifted
    return tuple(raised), baseline


def _seen(baseline: Baseline, proposed: Detection, per_day: float) -> dict[str, float]:
    """Return what a day of this traffic shows: shifts in sd, the reward also as a share, rates as shares."""
    detector = Detector(baseline, proposed.false_alarms_per_month)
    found = smallest_seen(detector, baseline, per_day)
    # A share beyond the whole traffic is none.
    seen = {name: found[name] for name in ("novel_98", "refused", "errors") if found.get(name, 1.0) < 1.0}
    if "reward" in found:
        seen["reward"] = found["reward"]
    others = [value for name, value in found.items() if name.startswith("response ")]
    if others:
        seen["response"] = float(np.median(others))
    if "reward" in seen:
        n = max(1, baseline.reference.comparable)
        mean = baseline.reference.total("residual") / n
        spread = float(np.sqrt(max(baseline.reference.total("residual_sq") / n - mean**2, 0.0)))
        seen["reward_share"] = seen["reward"] * spread / reward_scale(baseline)
    return seen


def _notes(found: Calibration) -> Iterator[str]:
    if found.block != "days":
        yield (
            f"the history is short: its blocks are {found.block}, so what changes from day to day is not in the rates; "
            "a fortnight or more would show it"
        )
    if found.thin_windows > 0.05:
        yield (
            f"{found.thin_windows:.0%} of the windows hold fewer than {found.proposed.min_window} exchanges and would "
            "reach further back, or be blind where a week holds no more"
        )
    wanted = next(rate for rate in found.rates if rate.budget == found.wanted)
    if wanted.low > found.wanted:
        yield (
            f"this traffic alarms more often than its budget of {found.wanted:g} a month, beyond chance: it changes from "
            "one block to the next, or neighbouring exchanges resemble each other more than the baseline could measure"
        )
    if wanted.high > 3.0 * found.wanted:
        yield f"{wanted.days:.0f} days of replay cannot show a rate below {wanted.high:.1f} a month"
