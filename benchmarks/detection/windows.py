"""`driftgate compare` on pairs of files with known truth: whole, on small windows, and on windows without any change.

Law: a window and its baseline share no exchange; half of side A (at most 600) is the baseline. Windows are 100
exchanges, all of them changed, or 400, a quarter changed, as well as 100 and 400 of the unchanged side. `drifted` is
the evidence at level 0.01 over everything; direction and cause are the verdict's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.detection.figures import Share, table
from benchmarks.detection.pools import Data, Row
from monitor.baseline import build_baseline
from monitor.contract import Exchange, Verdict
from monitor.contract.config import BaselineConfig, Detection
from monitor.evidence.twosample import join
from monitor.offline.backtest import Backtest, backtest, timed
from monitor.offline.compare import compare
from monitor.offline.exchange_file import write_exchanges
from monitor.sketch.scored import Scored

ALPHA = 0.01
_KINDS = {
    "100 exchanges, all changed": (0, 100),
    "400 exchanges, a quarter changed": (300, 100),
    "100 exchanges, nothing changed": (100, 0),
    "400 exchanges, nothing changed": (400, 0),
}
_DIRECTIONS = {"drop": "degraded", "gain": "improved"}


class Pair(NamedTuple):
    """A scenario with both sides scored."""

    scenario: Row
    a: Scored
    b: Scored

    @property
    def cause(self) -> str:
        """What changed: prompts alone, or the answers to them."""
        return "traffic" if self.scenario["channels"] == ["data"] else "model"


class Seen(NamedTuple):
    """What was said of a window of one kind of a scenario."""

    kind: str
    name: str
    truth: str
    cause: str
    verdict: Verdict


def pairs(data: Data, only: str = "") -> Iterator[Pair]:
    """Yield the scenarios that concern prompts or responses, not labels alone."""
    for scenario, a, b in _sides(data, only):
        yield Pair(scenario, data.scored(a), data.scored(b))


def write_sides(data: Data, only: str, folder: Path) -> None:
    """Write both sides of scenarios as files for `driftgate compare` and `driftgate backtest`."""
    folder.mkdir(parents=True, exist_ok=True)
    for scenario, *sides in _sides(data, only):
        for name, exchanges in zip("AB", sides, strict=True):
            write_exchanges(folder / f"{scenario['name']}.{name}.jsonl", exchanges)


def _sides(data: Data, only: str) -> Iterator[tuple[Row, list[Exchange], list[Exchange]]]:
    for scenario in data.scenarios:
        if set(scenario["channels"]) == {"label"} or only not in scenario["name"]:
            continue
        a, b = (data.side(scenario, side) for side in "AB")
        if a and b:
            yield scenario, a, b


def whole_row(pair: Pair, identity: str) -> tuple[str, ...]:
    """Return a row on the two sides as they are: by `compare`, and by `backtest` at ten exchanges a minute."""
    verdict, run = compared(pair.a, pair.b, identity), _backtested(pair, identity)
    first = next((str(alert.exchange) for alert in run.alerts if alert.drifted), "never")
    truth = f"{pair.scenario['truth']}, {pair.scenario['direction']}"
    seen = f"{verdict.tier}{', drifted' if verdict.drifted else ''}"
    found = f"{first} of {run.exchanges}"
    return pair.scenario["name"], truth, seen, verdict.direction, verdict.cause, found, run.final.tier


def write_whole(rows: list[tuple[str, ...]]) -> str:
    """Return the table of whole pairs."""
    head = (
        "scenario",
        "truth",
        "compare",
        "direction",
        "cause",
        "backtest: evidence after",
        "final tier",
    )
    return table(head, rows)


def compared(baseline: Scored, window: Scored, identity: str) -> Verdict:
    """Compare two sets of exchanges as the command does by default."""
    return compare(
        baseline,
        window,
        scorer=identity,
        alpha=ALPHA,
        learning=BaselineConfig(),
        detection=Detection(),
        now=0.0,
    )


def _backtested(pair: Pair, identity: str) -> Backtest:
    baseline = build_baseline(
        pair.a, route="default", scorer=identity, settings=BaselineConfig(), created=0.0
    )
    return backtest(baseline, pair.b._replace(exchanges=timed(pair.b.exchanges)), detection=Detection())


def look(pair: Pair, identity: str, repeats: int, tick: Callable[[], None]) -> Iterator[Seen]:
    """Yield what is said of random windows of every kind."""
    scenario = pair.scenario
    for kind, (kept, changed) in _KINDS.items():
        if changed and scenario["truth"] != "drift":
            continue
        for repeat in range(repeats):
            rng = np.random.default_rng([3, sum(map(ord, scenario["name"])), repeat])
            order = rng.permutation(len(pair.a.exchanges))
            baseline, held = order[: len(order) // 2][:600], order[len(order) // 2 :]
            if len(held) < 0.6 * kept or len(baseline) < 60:
                continue
            new = pair.b.take(rng.permutation(len(pair.b.exchanges))[:changed])
            window = join(pair.a.take(held[:kept]), new) if changed else pair.a.take(held[:kept])
            verdict = compared(pair.a.take(baseline), window, identity)
            yield Seen(kind, scenario["name"], scenario["direction"], pair.cause, verdict)
            tick()


def counts(seen: list[Seen]) -> dict[str, list[int]]:
    """Return for each kind how many windows were found, and of how many."""
    return {
        kind: [sum(s.verdict.drifted for s in seen if s.kind == kind), sum(s.kind == kind for s in seen)]
        for kind in _KINDS
    }


def write_looks(seen: list[Seen]) -> str:
    """Return the table of windows."""
    rows = []
    for kind, (_, changed) in _KINDS.items():
        mine = [s for s in seen if s.kind == kind]
        found = [s for s in mine if s.verdict.drifted]
        known = [s for s in found if s.truth in _DIRECTIONS]
        right = sum(s.verdict.direction == _DIRECTIONS[s.truth] for s in known)
        named = sum(s.verdict.cause == s.cause for s in found)
        words = (
            (Share(named, len(found)), Share(right, len(known)), reversed_of(known))
            if changed
            else ("-",) * 3
        )
        rows.append((kind, Share(len(found), len(mine)), f"{len(found)} of {len(mine)}", *words))
    return table(("windows", "`drifted`", "of", "cause right", "direction right", "reversed"), rows)


def reversed_of(known: list[Seen]) -> Share:
    """Return how often better was called worse, or worse better."""
    other = {"drop": "improved", "gain": "degraded"}
    return Share(sum(s.verdict.direction == other[s.truth] for s in known), len(known))


def write_misses(seen: list[Seen]) -> str:
    """Return, for each scenario, how many of its windows of either kind were found."""
    names = dict.fromkeys(s.name for s in seen)
    kinds = list(_KINDS)

    def cell(name: str, kind: str) -> str:
        mine = [s.verdict.drifted for s in seen if (s.name, s.kind) == (name, kind)]
        return f"{sum(mine)} of {len(mine)}" if mine else "-"

    return table(("scenario", *kinds), [(name, *(cell(name, kind) for kind in kinds)) for name in names])
