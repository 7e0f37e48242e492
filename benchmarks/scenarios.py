"""What compare and backtest say on public data with known changes. Prints Markdown tables.

    .venv/bin/python benchmarks/scenarios.py DATA [--repeats 4] [--only NAME …]
    .venv/bin/python benchmarks/scenarios.py DATA --only NAME … --write FOLDER

The second form only writes the two sides as files, for `driftgate compare FOLDER/NAME.A.jsonl FOLDER/NAME.B.jsonl`.

DATA is a folder with `scenarios.jsonl` and `scen.py` (rows of pairs A → B and what is true of them). Without it nothing
is measured, and that is said. Every scenario is compared whole; then windows of 100 exchanges, all of them changed, and
of 400, a quarter of them changed, are compared with the other half of A (at most 600), as are windows without change.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import beta

from monitor.baseline import build_baseline
from monitor.contract import Exchange, Verdict
from monitor.contract.config import BaselineConfig, Detection
from monitor.evidence.twosample import compare_samples, join
from monitor.offline.backtest import Backtest, backtest, timed
from monitor.offline.compare import compare
from monitor.offline.exchange_file import write_exchanges
from monitor.offline.scoring import score_all
from monitor.scorer.local import LocalScorer
from monitor.scorer.open import SHIPPED
from monitor.sketch.scored import Scored
from monitor.threads import use_one_thread


class Pair(NamedTuple):
    """A scenario with both sides scored."""

    scenario: dict[str, Any]
    a: Scored
    b: Scored


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--repeats", type=int, default=4, help="random windows a scenario")
    parser.add_argument("--only", nargs="*", help="names of scenarios")
    parser.add_argument("--write", type=Path, help="write the sides of the scenarios here and stop")
    arguments = parser.parse_args()
    if not (arguments.data / "scenarios.jsonl").exists():
        sys.exit(f"{arguments.data}: no scenarios.jsonl here; nothing was measured")
    if arguments.write:
        for scenario, a, b in sides_of(arguments.data, arguments.only):
            write_exchanges(arguments.write / f"{scenario['name']}.A.jsonl", a)
            write_exchanges(arguments.write / f"{scenario['name']}.B.jsonl", b)
        return
    use_one_thread()  # as the commands do
    scorer = LocalScorer(SHIPPED)
    pairs = list(load(arguments.data, scorer, arguments.only))
    print(
        "| scenario | truth | compare | direction | cause | backtest: evidence after | final tier |\n|---|---|---|---|---|--:|---|"
    )
    for pair in pairs:
        print(_row(pair, _compare(pair, scorer.identity), _backtest(pair, scorer.identity)), flush=True)
    print("\n| windows | `drifted` | of | share, 95 % interval |\n|---|--:|--:|---|")
    for name, kind in (
        ("100 exchanges, all changed", "all"),
        ("400 exchanges, a quarter changed", "quarter"),
        ("100 exchanges, nothing changed", "none100"),
        ("400 exchanges, nothing changed", "none400"),
    ):
        hits = [hit for pair in pairs for hit in _windows(pair, kind, arguments.repeats)]
        print(f"| {name} | {sum(hits)} | {len(hits)} | {_interval(sum(hits), len(hits))} |", flush=True)


def load(folder: Path, scorer: LocalScorer, only: list[str] | None) -> Iterator[Pair]:
    """Yield the scenarios with both sides scored."""
    for scenario, a, b in sides_of(folder, only):
        yield Pair(scenario, score_all(a, scorer), score_all(b, scorer))


def sides_of(
    folder: Path, only: list[str] | None
) -> Iterator[tuple[dict[str, Any], list[Exchange], list[Exchange]]]:
    """Yield the scenarios that concern prompts or responses, not labels alone, each side shuffled."""
    scen = _module(folder / "scen.py")
    for line in (folder / "scenarios.jsonl").read_text().splitlines():
        scenario = json.loads(line)
        if set(scenario["channels"]) == {"label"} or (only and scenario["name"] not in only):
            continue
        a, b = (_exchanges(scen.select(scenario, side), side) for side in "AB")
        if a and b:
            random.Random(0).shuffle(a)
            random.Random(1).shuffle(b)
            yield scenario, a, b


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("scen", path)
    if spec is None or spec.loader is None:
        sys.exit(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _exchanges(rows: list[dict[str, Any]], side: str) -> list[Exchange]:
    return [
        Exchange(
            id=f"{side}{i}",
            time=0.0,
            prompt=row["prompt"],
            response=row["response"] if isinstance(row.get("response"), str) else None,
        )
        for i, row in enumerate(rows)
        if isinstance(row.get("prompt"), str)
    ]


def _compare(pair: Pair, identity: str) -> Verdict:
    return compare(
        pair.a,
        pair.b,
        scorer=identity,
        alpha=0.01,
        learning=BaselineConfig(),
        detection=Detection(),
        now=0.0,
    )


def _backtest(pair: Pair, identity: str) -> Backtest:
    baseline = build_baseline(
        pair.a, route="default", scorer=identity, settings=BaselineConfig(), created=0.0
    )
    return backtest(baseline, pair.b._replace(exchanges=timed(pair.b.exchanges)), detection=Detection())


def _row(pair: Pair, verdict: Verdict, run: Backtest) -> str:
    scenario = pair.scenario
    first = next((str(alert.exchange) for alert in run.alerts if alert.drifted), "never")
    truth = f"{scenario['truth']}, {scenario['direction']}"
    seen = f"{verdict.tier}{', drifted' if verdict.drifted else ''}"
    return f"| {scenario['name']} | {truth} | {seen} | {verdict.direction} | {verdict.cause} | {first} of {run.exchanges} | {run.final.tier} |"


def _windows(pair: Pair, kind: str, repeats: int) -> Iterator[bool]:
    """Yield for random windows of one kind whether they are said to have drifted."""
    if (pair.scenario["truth"] == "drift") is False and kind in {"all", "quarter"}:
        return
    for repeat in range(repeats):
        rng = np.random.default_rng([sum(map(ord, pair.scenario["name"])), repeat])
        order = rng.permutation(len(pair.a.exchanges))
        baseline, held = pair.a.take(order[: len(order) // 2][:600]), order[len(order) // 2 :]
        changed = pair.b.take(rng.permutation(len(pair.b.exchanges))[:100])
        size = {"none100": 100, "none400": 400, "quarter": 300}.get(kind, 0)
        if len(held) < size * 0.6 or len(baseline.exchanges) < 60:
            continue
        kept = pair.a.take(held[:size])
        window = changed if kind == "all" else join(kept, changed) if kind == "quarter" else kept
        yield compare_samples(baseline, window, seed=repeat).p_value <= 0.01


def _interval(hits: int, of: int) -> str:
    if not of:
        return "–"  # noqa: RUF001 - a dash in a table
    low = beta.ppf(0.025, hits, of - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, of - hits) if hits < of else 1.0
    return f"{100 * hits / of:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


if __name__ == "__main__":
    main()
