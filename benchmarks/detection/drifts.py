"""Delays: from the exchange with which a change begins to the alarm, and what the verdict then says of it.

Law: every run has its own stream, and each world its own baselines; the change begins at a random minute of the first
half day (of the first forty minutes in a finite world). A run without an alarm within three days of the change (within a
thousand exchanges in a finite world) counts as the horizon. An alarm before the change is a false one: it is counted,
and the evidence starts anew with the change. The verdict is taken in the minute of the alarm and again an hour later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from benchmarks.detection.figures import Delays, Share, table
from benchmarks.detection.live import Alarm, Sight, alarms, learn, verdict_at
from benchmarks.detection.pools import Data
from benchmarks.detection.seeds import Seeds
from benchmarks.detection.streams import (
    DAY,
    MINUTE,
    Random,
    Span,
    Stream,
    abrupt,
    changed,
    iid,
    ramp,
)
from benchmarks.detection.worlds import Change, World, worlds
from monitor.contract import Cause, Direction, Verdict
from monitor.evidence.rescoring import FIRST_LOOK, ScorerChange, change_of, choose_anchors, compare_anchors

RATE = 10.0
HORIZON_DAYS = 3.0
HORIZON = RATE * HORIZON_DAYS * 24 * 60
# Of a finite world: its hundreds of questions come two or three times each, not more.
FINITE_HORIZON = 1000.0
# Minutes of the stream in which the change may begin.
_ONSETS, _FINITE_ONSETS = (60, 12 * 60), (10, 40)
_LATER_MINUTES = 60
# Exchanges by which the power is told.
_BY = (100, 500, 2000, 10_000)
_NEVER = float("inf")


class Said(NamedTuple):
    """What a verdict said."""

    tier: str
    direction: str
    cause: str

    @classmethod
    def of(cls, verdict: Verdict) -> Said:
        """Take it from a verdict."""
        return cls(verdict.tier.value, verdict.direction.value, verdict.cause.value)


class Run(NamedTuple):
    """One run: the delay in exchanges, whether there was an alarm before, and what was said at once and later."""

    delay: float
    early: bool
    at_once: Said | None
    later: Said | None


class Cell(NamedTuple):
    """A change and its runs."""

    world: str
    change: Change
    runs: tuple[Run, ...]
    horizon: float = HORIZON

    @property
    def delays(self) -> Delays:
        """The delays of all runs."""
        return Delays.of((run.delay for run in self.runs), self.horizon)


class How(NamedTuple):
    """How much is run: `runs` on each of so many baselines, which cover `learn_days` (0: as long as they take).

    `only`: changes whose title holds this.
    """

    baselines: int
    runs: int
    learn_days: float = 0.0
    only: str = ""


class Task(NamedTuple):
    """A world by its name, one of its seeds, and how much is run on it."""

    world: str
    seed: int
    how: How


def measure(name: str, how: How, run: Seeds, tick: Callable[[], None]) -> Iterator[Cell]:
    """Yield every cell of a world."""
    found: dict[str, Cell] = {}
    for cells in run.over(cells_of, [Task(name, seed, how) for seed in range(how.baselines)]):
        for cell in cells:
            before = found.get(cell.change.title)
            runs = (*before.runs, *cell.runs) if before else cell.runs
            found[cell.change.title] = cell._replace(runs=runs)
        tick()
    yield from found.values()


def cells_of(data: Data, task: Task) -> list[Cell]:
    """Return the cells of a seed: one baseline, and the runs of every change on it."""
    rng, how = np.random.default_rng([2, task.seed]), task.how
    world = worlds()[task.world](data, rng, task.seed)
    sight = Sight(learn(world.pool, history_of(world, how.learn_days), data.identity), world.pool)
    cells = []
    for change in (change for change in world.changes if how.only in change.title):
        runs = tuple(one_run(sight, world, change, rng) for _ in range(how.runs))
        cells.append(Cell(task.world, change._replace(rows=change.rows[:0]), runs, horizon_of(world)))
    return cells


def horizon_of(world: World) -> float:
    """Return after how many exchanges a change of a world counts as missed."""
    return FINITE_HORIZON if world.finite else HORIZON


def history_of(world: World, days: float = 0.0) -> Stream:
    """Return the baseline's exchanges up to the beginning of the stream: at its rate, or spread over so many days."""
    size = len(world.history)
    apart = days * DAY / size or MINUTE / RATE
    times = 5 * DAY - np.arange(size, 0, -1, dtype=np.float64) * apart
    return Stream(times, world.history)


def one_run(sight: Sight, world: World, change: Change, rng: Random) -> Run:
    """Run a stream until an hour after its alarm, or to the horizon."""
    onset = 5 * DAY + float(rng.integers(*(_FINITE_ONSETS if world.finite else _ONSETS))) * MINUTE
    stream = _drawn(world, change, onset, rng)
    found = _until_later(sight, stream, 0.0)
    early = bool(found) and found[0].minute * MINUTE < onset
    if early:
        found = _until_later(sight, stream, onset)
    if not found:
        return Run(_NEVER, early, None, None)
    first, last = found
    delay = first.exchange - int(np.searchsorted(stream.times, onset))
    if delay >= horizon_of(world):
        return Run(_NEVER, early, None, None)
    changed = _looked(world, change)
    verdict = verdict_at(sight, stream, first, changed=changed)
    settled = verdict_at(sight, stream, last, verdict, changed=changed)
    return Run(float(delay), early, Said.of(verdict), Said.of(settled))


def _looked(world: World, change: Change) -> ScorerChange | None:
    """Score stored exchanges of the baseline again, as the monitor does when it has drifted."""
    if change.rescored is None:
        return None  # the same scorer gives the same numbers
    anchors = choose_anchors(world.pool.scored.take(world.history))
    prompt, response = anchors.prompt.astype(np.float32), anchors.response.astype(np.float32)
    reward = change.rescored(anchors.reward)
    return change_of(compare_anchors(anchors, prompt, response, reward, FIRST_LOOK))


def _drawn(world: World, change: Change, onset: float, rng: Random) -> Stream:
    minutes = horizon_of(world) / RATE + (_LATER_MINUTES if world.finite else 0.0)
    days = (onset + minutes * MINUTE) / DAY - 5
    drawn = iid(rng, world.before, Span(RATE, 5 * DAY, days))
    stream = drawn._replace(rows=world.before[drawn.rows])
    share = (ramp if change.gradual else abrupt)(onset, change.share)
    return changed(stream, rng, change.rows, share)


def _until_later(sight: Sight, stream: Stream, since: float) -> list[Alarm]:
    """Return the alarm, and what stood an hour later (or when it fell, whichever came first)."""
    found: list[Alarm] = []
    for alarm in alarms(sight, stream, again=False, since=since):
        if found and alarm.minute > found[0].minute + _LATER_MINUTES:
            break
        if alarm.minute * MINUTE >= since:
            found.append(alarm)
    return [found[0], found[-1]] if found else []


def packed(cells: list[Cell]) -> list[dict[str, Any]]:
    """Return cells in the form of JSON, without the rows that changes draw from; a miss is null."""
    return [
        {
            "world": cell.world,
            "name": cell.change.name,
            "share": cell.change.share,
            "cause": cell.change.cause.value,
            "direction": cell.change.direction.value if cell.change.direction else None,
            "gradual": cell.change.gradual,
            "horizon": cell.horizon,
            "runs": [[None if run.delay == _NEVER else run.delay, *run[1:]] for run in cell.runs],
        }
        for cell in cells
    ]


def unpacked(found: list[dict[str, Any]]) -> list[Cell]:
    """Return cells again."""
    nothing = np.zeros(0, dtype=np.intp)
    return [
        Cell(
            each["world"],
            Change(
                each["name"],
                nothing,
                each["share"],
                Cause(each["cause"]),
                Direction(each["direction"]) if each["direction"] else None,
                each["gradual"],
            ),
            tuple(
                Run(
                    _NEVER if delay is None else delay,
                    early,
                    Said(*at_once) if at_once else None,
                    Said(*later) if later else None,
                )
                for delay, early, at_once, later in each["runs"]
            ),
            each["horizon"],
        )
        for each in found
    ]


def write_delays(cells: list[Cell]) -> str:
    """Return the table of delays."""
    head = ("change", "median", "90 %", "mean", *(f"by {n:,}" for n in _BY), "missed", "false before")
    rows = [
        (
            cell.change.title,
            cell.delays.write(0.5),
            cell.delays.write(0.9),
            f"{cell.delays.mean:,.0f}",
            *(f"{cell.delays.power(n):.0%}" for n in _BY),
            f"{cell.delays.missed} of {len(cell.runs)}",
            sum(run.early for run in cell.runs),
        )
        for cell in cells
        if cell.change.cause is not Cause.NONE
    ]
    return table(head, rows)


def write_words(cells: list[Cell]) -> str:
    """Return the table of what verdicts said of each change, at the alarm and an hour later."""
    head = (
        "change",
        "truth",
        "found",
        "cause",
        "an hour later",
        "direction",
        "an hour later",
        "tier, an hour later",
    )
    rows = []
    for cell in cells:
        said = [(run.at_once, run.later) for run in cell.runs if run.at_once and run.later]
        if not said:
            continue
        truth = cell.change
        rows.append(
            (
                truth.title,
                f"{truth.cause.value}, {truth.direction.value if truth.direction else 'not known'}",
                len(said),
                *(_most([s[i].cause for s in said]) for i in (0, 1)),
                *(_most([s[i].direction for s in said]) for i in (0, 1)),
                _most([s[1].tier for s in said]),
            )
        )
    return table(head, rows)


def _most(words: list[str]) -> str:
    counts = Counter(words).most_common()
    return ", ".join(f"{word} {n / len(words):.0%}" for word, n in counts)


def sums(cells: list[Cell]) -> dict[str, list[list[int]]]:
    """Return what verdicts got right, (hits, of) at the alarm and an hour later; unchanged streams count as `none`."""
    return {
        name: [_counted(cells, rule, later=later) for later in (False, True)] for name, rule in _RULES.items()
    }


def write_sums(cells: list[Cell]) -> str:
    """Return the same as a table."""
    rows = [(name, *(Share(*counts) for counts in both)) for name, both in sums(cells).items()]
    return table(("over all runs", "at the alarm", "an hour later"), rows)


Rule = Callable[[Change, Said | None], bool | None]


def _cause(truth: Change, said: Said | None) -> bool | None:
    if said is None:
        return True if truth.cause is Cause.NONE else None
    return said.cause == truth.cause


def _blamed(truth: Change, said: Said | None) -> bool | None:
    return said.cause == Cause.MODEL if said and truth.cause is Cause.TRAFFIC and truth.is_mix else None


def _direction(truth: Change, said: Said | None) -> bool | None:
    return said.direction == truth.direction if said and truth.direction in _SIGNED else None


def _reversed(truth: Change, said: Said | None) -> bool | None:
    if said is None or truth.direction not in _SIGNED:
        return None
    return said.direction in _SIGNED and said.direction != truth.direction


def _same_model_worse(truth: Change, said: Said | None) -> bool | None:
    return said.direction == Direction.DEGRADED if said and truth.name.startswith("same model") else None


_SIGNED = (Direction.DEGRADED, Direction.IMPROVED)
_RULES: dict[str, Rule] = {
    "cause right, of traffic, model, data quality, scorer, none": _cause,
    "known topics in other proportions: model blamed": _blamed,
    "direction right where it is known": _direction,
    "better called worse, or worse better": _reversed,
    "same model, other length: called worse": _same_model_worse,
}


def _counted(cells: list[Cell], rule: Rule, *, later: bool) -> list[int]:
    answers = [rule(cell.change, run.later if later else run.at_once) for cell in cells for run in cell.runs]
    known = [answer for answer in answers if answer is not None]
    return [sum(known), len(known)]
