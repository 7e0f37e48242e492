"""From the peers' answers to rows: false alarms and delays, as shipped and at our rate; rules of the field beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from benchmarks.detection.drifts import HORIZON
from benchmarks.detection.figures import Delays, Rate, table
from benchmarks.detection.peers import (
    CASES,
    EXCHANGES_A_DAY,
    LEAD,
    RUNS,
    Arrays,
    Row,
    Sizes,
    window_size,
)
from monitor.verdict.divergence import compare_histograms

_DRAWS = 400
OURS = "Driftgate"
# The rule of Phoenix, written anew; it comes without a threshold of its own.
PHOENIX = "distance of centroids"
Fires = Callable[[str, str], NDArray[np.bool_]]


class Cut(NamedTuple):
    """How a world was cut: exchanges a window, and after how many a change counts as missed."""

    size: int
    horizon: float


def cuts(arrays: Arrays) -> dict[str, Cut]:
    """Return how each world was cut."""
    return {
        world: Cut(window_size(arrays, world), float(arrays[f"{world}/horizon"]))
        for world in arrays["worlds"].tolist()
    }


def window_rows(name: str, answers: dict[str, Any], cut: dict[str, Cut]) -> Iterator[Row]:
    """Yield a window rule as shipped and re-thresholded."""
    tuned = {
        world: _line(kinds["tune"], cut[world].size) for world, kinds in answers.items() if kinds["tune"]
    }
    if not tuned:
        return

    def shipped(world: str, kind: str) -> NDArray[np.bool_]:
        return np.array([fired for _, fired in answers[world][kind]], dtype=bool)

    def moved(world: str, kind: str) -> NDArray[np.bool_]:
        return np.array([score > tuned[world] for score, _ in answers[world][kind]], dtype=bool)

    for how, fires in (("as shipped", shipped), ("at our rate", moved)):
        yield _row(f"{name}, {how}", fires, {world: cut[world] for world in tuned})


def _line(tune: list[tuple[float, bool]], size: int) -> float:
    scores = np.array([score for score, _ in tune])
    # One of the windows of 30 days, were the statistic normal.
    z = float(norm.isf(size / (30 * EXCHANGES_A_DAY)))
    return max(float(scores.mean() + z * scores.std(ddof=1)), float(scores.max()))


def _row(name: str, fires: Fires, cut: dict[str, Cut]) -> Row:
    quiet = {world: fires(world, "test") for world in cut}
    days = sum(len(fired) * cut[world].size for world, fired in quiet.items()) / EXCHANGES_A_DAY
    delays = {
        title: window_delays(fires(world, title), cut[world]) for world in cut for title in CASES[world]
    }
    return Row(name, Rate(sum(int(fired.sum()) for fired in quiet.values()), days), delays)


def window_delays(fired: NDArray[np.bool_], cut: Cut) -> Delays:
    """Return delays of runs drawn from the measured windows: the one in which the change began, then whole ones.

    `fired` is run by run the first windows, then the second, then the third ones; a change begins anywhere in the first.
    """
    first, whole = fired[:RUNS], fired[RUNS:]
    rng = np.random.default_rng(6)
    power = float(whole.mean()) if len(whole) else 0.0
    later = rng.geometric(power, _DRAWS) * cut.size if power > 0 else np.full(_DRAWS, np.inf)
    begun = rng.uniform(0, cut.size, _DRAWS)
    at_once = rng.random(_DRAWS) < (float(first.mean()) if len(first) else 0.0)
    return Delays.of(np.where(at_once, begun, begun + later), cut.horizon)


def stream_rows(name: str, answers: dict[str, Any], sizes: Sizes, cut: dict[str, Cut]) -> Iterator[Row]:
    """Yield a stream rule as shipped and at its least strict setting that keeps to one alarm in 30 days when tuned."""
    allowed = max(1.0, sizes.days / 30.0)
    strict = {
        world: next((i for i, n in enumerate(found["tune"]) if n <= allowed), len(found["tune"]) - 1)
        for world, found in answers.items()
    }
    for how, setting in (("as shipped", dict.fromkeys(answers, 0)), ("at our rate", strict)):
        events = sum(found["test"][setting[world]] for world, found in answers.items())
        delays = {
            title: Delays.of(_after(found[title][setting[world]]), cut[world].horizon)
            for world, found in answers.items()
            for title in CASES[world]
        }
        yield Row(f"{name}, {how}", Rate(events, sizes.days * len(answers)), delays)


def _after(alarms: list[int]) -> Iterator[float]:
    """Yield delays; an alarm before the change has been spent, so that run is left out of them."""
    for at in alarms:
        if at < 0:
            yield float("inf")
        elif at >= LEAD:
            yield float(at - LEAD)


def field_rows(arrays: Arrays) -> Iterator[Row]:
    """Yield the fixed thresholds that the field uses, and the two rules that look at nothing."""
    for name, answers in field_answers(arrays).items():
        rows = list(window_rows(name, answers, cuts(arrays)))
        only = {"always": rows[:1], "never": rows[:1], PHOENIX: rows[1:]}
        yield from only.get(name, rows)


def field_answers(arrays: Arrays) -> dict[str, dict[str, dict[str, list[tuple[float, bool]]]]]:
    """Return what each fixed rule says of every window: its number as a multiple of its threshold, and whether it fires."""
    rules: dict[str, Callable[[str, str], NDArray[np.float64]]] = {
        "JS of clusters, 0.18": lambda world, kind: _js(arrays, world, kind) / 0.18,
        "JS of clusters, 0.25": lambda world, kind: _js(arrays, world, kind) / 0.25,
        "new clusters, 30 %": lambda world, kind: (_far(arrays, world, kind) - 0.01) / 0.30,
        "mean reward down 15 %": lambda world, kind: _drop(arrays, world, kind) / 0.15,
        PHOENIX: lambda world, kind: _centroid(arrays, world, kind),
        "always": lambda world, kind: np.full(len(arrays[f"{world}/{kind}/x"]), 2.0),
        "never": lambda world, kind: np.zeros(len(arrays[f"{world}/{kind}/x"])),
    }
    return {
        name: {
            world: {
                kind: [(float(s), bool(s >= 1.0)) for s in rule(world, kind)]
                for kind in ("tune", "test", *CASES[world])
            }
            for world in arrays["worlds"].tolist()
        }
        for name, rule in rules.items()
    }


def _centroid(arrays: Arrays, world: str, kind: str) -> NDArray[np.float64]:
    """Return the distance of each window's mean embedding from the reference's."""
    centre = arrays[f"{world}/reference/x"].mean(axis=0)
    means = arrays[f"{world}/{kind}/x"].mean(axis=1)
    return np.asarray(np.linalg.norm(means - centre, axis=1), dtype=np.float64)


def _js(arrays: Arrays, world: str, kind: str) -> NDArray[np.float64]:
    """Return the largest JS divergence (base 2) of prompt and response clusters, for each window."""
    reference, windows = arrays[f"{world}/reference/clusters"], arrays[f"{world}/{kind}/clusters"]
    found = np.zeros(len(windows))
    for j in range(reference.shape[1]):
        before = np.bincount(reference[:, j], minlength=32).astype(np.float64)
        for i, window in enumerate(windows[:, :, j]):
            after = np.bincount(window, minlength=32).astype(np.float64)
            divergence = compare_histograms(before, after, 1.0)
            found[i] = max(found[i], divergence.value if divergence else 0.0)
    return found


def _far(arrays: Arrays, world: str, kind: str) -> NDArray[np.float64]:
    """Return the share of each window's prompts farther out than one in a hundred of the baseline's."""
    return np.asarray(arrays[f"{world}/{kind}/far"].mean(axis=1), dtype=np.float64)


def _drop(arrays: Arrays, world: str, kind: str) -> NDArray[np.float64]:
    """Return by which part of the reference's mean the mean reward of each window lies below it."""
    before = arrays[f"{world}/reference/reward"]
    after = np.nanmean(np.nan_to_num(arrays[f"{world}/{kind}/reward"]), axis=1)
    if not np.isfinite(before).all():
        return np.zeros(len(after))
    return np.asarray((before.mean() - after) / abs(before.mean()))


def ours(found: dict[str, Any]) -> Row | None:
    """Return our own row out of the drifts and nulls that were run last; None where there were none."""
    titles = {title for named in CASES.values() for title in named}
    horizons = found.get("horizons", {})
    delays = {
        title: Delays.of((np.inf if d is None else d for d in runs), horizons.get(title, HORIZON))
        for title, runs in found.get("delays", {}).items()
        if title in titles
    }
    alarms = found.get("alarms") or [["", 0, 1e-9]]
    whole = Rate(sum(events for _, events, _ in alarms), sum(days for _, _, days in alarms))
    return Row(OURS, whole, delays) if delays else None


def all_rows(arrays: Arrays, answers: dict[str, Any], sizes: Sizes, found: dict[str, Any]) -> list[Row]:
    """Return every row, ours first where it was measured."""
    mine = ours(found)
    rows = [mine] if mine else []
    for name, given in answers["windows"].items():
        rows += window_rows(name, given, cuts(arrays))
    for name, given in answers["streams"].items():
        rows += stream_rows(name, given, sizes, cuts(arrays))
    return [*rows, *field_rows(arrays)]


def write(rows: list[Row]) -> str:
    """Return the table of median delays."""
    titles = [title for named in CASES.values() for title in named]
    shown = [title for title in titles if any(title in row.delays for row in rows)]
    head = ("rule", "false alarms in 30 days", *shown)
    return table(
        head,
        (
            (
                row.name,
                row.false,
                *(
                    row.delays[t].write(0.5) if t in row.delays and row.delays[t].found else "-"
                    for t in shown
                ),
            )
            for row in rows
        ),
    )


class Ratio(NamedTuple):
    """Our median delay of a change against the best peer's."""

    title: str
    mine: float
    best: float
    peer: str

    @property
    def value(self) -> float:
        """Ours divided by the peer's."""
        return self.mine / max(self.best, 1.0)


def ratios(rows: list[Row]) -> list[Ratio]:
    """Return, for each change, our median delay and that of the best peer that keeps to about our rate."""
    mine = next((row for row in rows if row.name == OURS), None)
    others = [row for row in rows if row is not mine and row.false.a_month <= _TOLERATED]
    found = []
    for title, delays in mine.delays.items() if mine else ():
        medians = {
            row.name: row.delays[title].quantile(0.5)
            for row in others
            if title in row.delays and row.delays[title].found
        }
        if medians:
            best = min(medians, key=medians.__getitem__)
            found.append(Ratio(title, delays.quantile(0.5), medians[best], best))
    return found


def write_ratios(found: list[Ratio]) -> str:
    """Return the table of these."""
    rows = ((r.title, f"{r.mine:,.0f}", f"{r.best:,.0f}", r.peer, f"{r.value:.2f}") for r in found)
    return table(("change", OURS, "best peer", "which", "ratio"), rows)


# A re-thresholded peer may raise a little more on test traffic than it was tuned to.
_TOLERATED = 3.0
