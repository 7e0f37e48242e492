"""Coverage: how often intervals stated at 95 % contain the truth.

Law: the truth is the effect between two whole pools, seen through the same baseline: the baseline's reference and the
window are both replaced by everything there is to draw from. Each interval is asked whether it holds that number. For
new topics the true share is known besides, and asked for too; what the embedding cannot tell from known prompts is
part of it.

An interval promises to hold the truth over baselines and windows: the baseline is a sample, too, and errs the same way
in all of its windows. So baselines are many and windows on each few. A window repeats no row, as history and traffic
share none: the difference of their means then varies as that of two independent samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from benchmarks.detection.drifts import history_of
from benchmarks.detection.figures import Share, table
from benchmarks.detection.live import Sight, learn
from benchmarks.detection.pools import Data
from benchmarks.detection.streams import Random, Rows
from benchmarks.detection.worlds import one_model, topics
from monitor.baseline import Baseline
from monitor.contract import Interval
from monitor.sketch.bucket import Bucket
from monitor.verdict.attribution import attribute
from monitor.verdict.signals import measure

WINDOW = 300
# The largest of many shifts or counters is chosen for being the largest: no interval of a fixed effect.
_CHOSEN = frozenset({"response_given_prompt", "response_style", "duplicates", "flood"})


class Drawn(NamedTuple):
    """What windows are drawn from: a `share` of `rows`, the rest from `before`; `novel` of it is new topics."""

    before: Rows
    rows: Rows
    share: float
    novel: float


class Held(NamedTuple):
    """Whether an interval held the truth, of one effect in one case."""

    case: str
    effect: str
    held: bool


def measure_coverage(data: Data, *, baselines: int, windows: int, tick: Callable[[], None]) -> Iterator[Held]:
    """Yield every interval's answer in every case."""
    for seed in range(baselines):
        rng = np.random.default_rng([4, seed])
        for build in (one_model, topics):
            world = build(data, rng, seed)
            sight = Sight(learn(world.pool, history_of(world), data.identity), world.pool)
            cases: dict[str, tuple[Rows, float]] = {"no change": (world.before, 0.0)}
            cases |= {
                change.title: (change.rows, change.share)
                for change in world.changes
                if change.title in _CASES
            }
            for name, (rows, share) in cases.items():
                case = f"{world.name}: {name}"
                novel = share if name.startswith("novel") else 0.0
                drawn = Drawn(world.before, rows, share, novel)
                yield from case_of(sight, case, drawn, rng, windows)
            tick()


_CASES = frozenset(
    {
        "reward -0.5 sd at fixed prompts, 100%",
        "known topics in other proportions",
        "other proportions and reward -0.5 sd, 100%",
        "answers cut short, 20%",
        "novel topic, 10%",
        "novel topic, 40%",
    }
)


def case_of(
    sight: Sight,
    case: str,
    drawn: Drawn,
    rng: Random,
    windows: int,
) -> Iterator[Held]:
    """Yield every interval's answer in windows of one case."""
    before, rows, share, novel = drawn
    endless = _whole(sight, before, rows, share)
    idle = _never(*endless)
    truth = {name: found for name, found in _intervals(*endless).items() if name not in idle}
    for _ in range(windows):
        new = int(rng.binomial(WINDOW, share))
        parts = (rng.choice(rows, new, replace=False), rng.choice(before, WINDOW - new, replace=False))
        window = sight.folded(np.concatenate(parts))
        for name, (_, interval) in _intervals(sight.baseline, window).items():
            if name in truth:
                yield Held(case, name, interval[0] <= truth[name][0] <= interval[1])
            if name == "new_clusters":
                yield Held(case, "new_clusters, true share", interval[0] <= novel <= interval[1])


def _whole(sight: Sight, before: Rows, rows: Rows, share: float) -> tuple[Baseline, Bucket]:
    """Return the baseline and the window that endless draws would give."""
    reference = sight.folded(before)
    parts = [(reference.vector, (1 - share) / len(before)), (sight.folded(rows).vector, share / len(rows))]
    vector = np.rint(sum(weight * part for part, weight in parts) * 1e6).astype(np.int64)
    endless = Bucket(reference.baseline, reference.shape, vector)
    return replace(sight.baseline, reference=reference), endless


def _intervals(baseline: Baseline, window: Bucket) -> dict[str, tuple[float, Interval]]:
    """Return effect and interval of every signal that has both, and of the attribution's parts."""
    found = {
        name: (signal.effect, signal.interval)
        for name, signal in measure(baseline, window).items()
        if signal.effect is not None and signal.interval is not None and name not in _CHOSEN
    }
    parts = attribute(baseline, window)
    if parts is not None:
        found |= {f"attribution, {name}": (getattr(parts, name), at) for name, at in parts.intervals.items()}
    return {name: (float(value), at) for name, (value, at) in found.items() if value is not None and at}


def counts(held: list[Held]) -> dict[str, list[int]]:
    """Return for each effect how many intervals held the truth, and of how many."""
    return {
        effect: [
            sum(h.held for h in held if h.effect == effect),
            sum(h.effect == effect for h in held),
        ]
        for effect in dict.fromkeys(h.effect for h in held)
    }


def _never(baseline: Baseline, window: Bucket) -> frozenset[str]:
    """Name the shares of what happens on neither side: their effect is nothing, which every interval holds."""
    return frozenset(
        name
        for name, signal in measure(baseline, window).items()
        if signal.unit.startswith("share of") and signal.baseline_mean == signal.window_mean == 0.0
        if name != "new_clusters"
    )


def write(held: list[Held]) -> str:
    """Return coverage by effect: over all cases, without any change, and where it is lowest."""
    rows = []
    for effect in dict.fromkeys(h.effect for h in held):
        mine = [h for h in held if h.effect == effect]
        by_case = {
            case: Share(sum(h.held for h in mine if h.case == case), sum(h.case == case for h in mine))
            for case in dict.fromkeys(h.case for h in mine)
        }
        worst = min(by_case, key=lambda case: by_case[case].value)
        whole = Share(sum(h.held for h in mine), len(mine))
        rows.append((effect, whole, f"{by_case[worst].value:.1%}", worst))
    return table(("effect", "95 % interval holds the truth", "lowest", "where"), rows)
