"""Labels and annotators: false alarms, delay in gold items, cause, coverage of alpha. Prints Markdown tables.

    .venv/bin/python benchmarks/detection/labels.py [DATA] [--seeds 40]

DATA is a folder with `scenarios.jsonl` and `scen.py`; without it the parts on real labels are said to be absent. The
simulated annotators are drawn here: everything about them is in `Team` and `drawn`. About an hour on one core.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.stats import beta, chi2

from monitor.contract import LabelCause, Labels
from monitor.contract.config import Thresholds
from monitor.contract.feedback import label_text
from monitor.labels.coincidence import Coincidence, jackknife
from monitor.labels.contrast import contrast, sides
from monitor.labels.judgement import Earlier, Event, Judgement, Scheme, events_of
from monitor.labels.measures import Side
from monitor.labels.panel import Fold, Panel, log_alarm
from monitor.labels.verdict import found_live, label_verdict
from monitor.offline.labels import LEVEL, found_once
from monitor.threads import use_one_thread

BUDGETS = (0.05, 0.25, 1.0)
DAY = 86400.0
LATER = 2 * DAY
Change = Literal["none", "annotator", "guideline", "task"]


class Team(NamedTuple):
    """Annotators and their work: judgements a day each, share with gold, labels an item, and how right they are."""

    name: str
    annotators: int = 5
    per_day: float = 10.0
    gold: float = 1.0
    labels: int = 1
    accuracy: float = 0.9
    # Spread of the items' difficulty: accuracy on an item is Beta with this many pseudo-counts; 0: all alike.
    difficulty: float = 0.0
    # Share of judgements by the first annotator, beyond the others' alike.
    heavy: float = 0.0


GOLD_ONLY = Team("5 annotators, 10 gold items a day each")
TEAMS = (
    GOLD_ONLY,
    Team("1 annotator, 10 gold items a day", annotators=1),
    Team("5 annotators, 40 judgements a day each, 20 % gold, 2 an item", per_day=40, gold=0.2, labels=2),
    Team("the same, items of unlike difficulty", per_day=40, gold=0.2, labels=2, difficulty=5.0),
    Team("20 annotators, 5 gold items a day, one gives a third", annotators=20, per_day=5, heavy=0.33),
)


def drawn(
    team: Team, change: Change, days: tuple[float, float], rng: random.Random, after: float = 0.75
) -> Iterator[tuple[Judgement, bool]]:
    """Yield judgements of `days` before and after the change, and whether the one who changed gave a gold label.

    `annotator`: the first one's accuracy falls to `after`. `guideline`: everybody calls b what had been a in a quarter of
    its cases, gold labels are the old ones. `task`: three quarters instead of half of the items are b.
    """
    total, at, item = (days[0] + days[1]) * DAY, 0.0, 0
    step = DAY * team.labels / (team.per_day * team.annotators)
    while at < total:
        at, item = at + rng.expovariate(1 / step), item + 1
        changed = at >= days[0] * DAY and change != "none"
        truth = "b" if rng.random() < (0.75 if changed and change == "task" else 0.5) else "a"
        has_gold = rng.random() < team.gold
        base = team.accuracy
        if team.difficulty:
            base = rng.betavariate(team.difficulty * base, team.difficulty * (1 - base))
        for who in _drawn_annotators(team, rng):
            first = who == 0
            right = base - (team.accuracy - after) * (changed and change == "annotator" and first)
            label = truth if rng.random() < right else "ab"[truth == "a"]
            if changed and change == "guideline" and truth == "a" and rng.random() < 0.25:
                label = "b"
            gold = truth if has_gold else None
            counted = changed and has_gold and (first or change != "annotator")
            yield Judgement(str(item), f"annotator {who}", label, gold, at), counted


def _drawn_annotators(team: Team, rng: random.Random) -> list[int]:
    if team.heavy and rng.random() < team.heavy:
        return [0]
    return rng.sample(range(team.annotators), min(team.labels, team.annotators))


class Passage(NamedTuple):
    """When the evidence first passed a budget (epoch s, None: never), gold items since the change, verdicts.

    `verdict` is that of the moment, `later` that two days on.
    """

    at: float | None
    gold: int
    verdict: Labels | None = None
    later: Labels | None = None


def watched(
    rows: Sequence[tuple[Judgement, bool]], since: float = 0.0, *, judge: bool = False
) -> list[Passage]:
    """Run judgements through a panel; return the first passage of each budget after `since`."""
    scheme = Scheme.learn([row.label for row, _ in rows[:50]])
    alarms = [log_alarm(budget, 1.0) for budget in BUDGETS]
    fold = Fold(Panel(scheme), alarms[0])
    labels: dict[str, list[Earlier]] = defaultdict(list)
    events: list[Event] = []
    found: list[Passage | None] = [None] * len(BUDGETS)
    gold = 0
    for row, counted in rows:
        gold += counted
        new = events_of(scheme, row, labels[row.item])
        labels[row.item].append(Earlier(row.annotator, row.label))
        events += new
        for event in new:
            fold.take(event)
        judged = judge and row.time >= since
        for i, alarm in enumerate(alarms):
            passage = found[i]
            if passage is None and fold.total >= alarm:
                found[i] = Passage(row.time, gold, _judged(scheme, fold, events, alarm) if judged else None)
            elif (
                passage
                and passage.at
                and passage.verdict
                and not passage.later
                and row.time > passage.at + LATER
            ):
                found[i] = passage._replace(later=_judged(scheme, fold, events, alarm))
        first = found[0]
        if first is not None and (first.verdict is None or first.later is not None):
            break
    return [passage or Passage(None, gold) for passage in found]


def _judged(scheme: Scheme, fold: Fold, events: Sequence[Event], alarm: float) -> Labels:
    """Return the verdict at an alarm at this budget."""
    panel = fold.panel()
    if panel.since is None:
        best = max(panel.streams, key=lambda key: panel.streams[key].log_wealth())
        panel = Panel(*(panel.scheme, panel.streams), since=panel.streams[best].richest_onset())
    found = found_live(panel, alarm, events)
    since = found.since or 0.0
    before, after = (Side([e for e in events if (e.time >= since) == later]) for later in (False, True))
    return label_verdict(scheme, before, after, found, thresholds=Thresholds())


def null_table(seeds: int, days: float = 60.0) -> None:
    """Print false alarms per 30 days of panels in which nothing changes, with exact intervals."""
    print(f"\nFalse alarms, {seeds} seeds of {days:g} days, from the first judgement on:\n")
    print(
        "| labels, nothing changes | budget in 30 days | alarms | months watched | in 30 days, 95 % interval |"
    )
    print("|---|--:|--:|--:|---|")
    for team in TEAMS:
        runs = [watched(list(drawn(team, "none", (days, 0), random.Random(seed)))) for seed in range(seeds)]
        for i, budget in enumerate(BUDGETS):
            _false_alarms(team.name, budget, [run[i].at for run in runs], days)


def _false_alarms(name: str, budget: float, at: Sequence[float | None], days: float) -> None:
    hits = sum(moment is not None for moment in at)
    months = sum((days if moment is None else moment / DAY) for moment in at) / 30
    low = chi2.ppf(0.025, 2 * hits) / 2 / months if hits else 0.0
    high = chi2.ppf(0.975, 2 * hits + 2) / 2 / months
    print(
        f"| {name} | {budget:g} | {hits} | {months:.0f} | {hits / months:.2f} [{low:.2f}, {high:.2f}] |",
        flush=True,
    )


def delay_table(seeds: int, before: float = 60.0, after: float = 120.0) -> None:
    """Print delays in gold items of the one who changed, and the causes named."""
    print(
        f"\nDelay after {before:g} days of judgements (runs that had raised before are left out), and the cause named:\n"
    )
    print(
        "| labels | change | budget | runs | median | 90 % | never | cause right | two days on | then: annotator, guideline, task, uncertain |"
    )
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|---|")
    changes: tuple[Change, ...] = ("annotator", "guideline", "task")
    for team in TEAMS[:4]:
        for change in changes:
            rows = [
                list(drawn(team, change, (before, after), random.Random(10_000 + s))) for s in range(seeds)
            ]
            runs = [watched(row, before * DAY, judge=True) for row in rows]
            for i, budget in enumerate(BUDGETS):
                _delays(team.name, change, budget, [run[i] for run in runs], before * DAY)


def _delays(name: str, change: Change, budget: float, runs: Sequence[Passage], onset: float) -> None:
    valid = [run for run in runs if run.at is None or run.at >= onset]
    if not valid:
        print(f"| {name} | {change} | {budget:g} | 0 | | | | | | |")
        return
    delays = sorted(run.gold if run.at is not None else sys.maxsize for run in valid)
    causes = [
        Counter(verdict.cause for verdict in verdicts if verdict is not None)
        for verdicts in ([run.verdict for run in valid], [run.later for run in valid])
    ]
    right = [f"{count[LabelCause(change)]}/{count.total()}" for count in causes]
    cells = [_number(statistics.median_low(delays)), _number(delays[int(0.9 * (len(delays) - 1))])]
    never = sum(delay == sys.maxsize for delay in delays)
    named = ", ".join(
        str(causes[1][cause])
        for cause in (LabelCause.ANNOTATOR, LabelCause.GUIDELINE, LabelCause.TASK, LabelCause.UNCERTAIN)
    )
    print(
        f"| {name} | {change} | {budget:g} | {len(valid)} | {cells[0]} | {cells[1]} | {never} | "
        f"{right[0]} | {right[1]} | {named} |",
        flush=True,
    )


def _number(value: int) -> str:
    return "none" if value == sys.maxsize else str(value)


def coverage_table(draws: int) -> None:
    """Print how often the 95 % interval of alpha holds the alpha that the labels are drawn from."""
    print(
        f"\nCoverage of the 95 % interval of Krippendorff's alpha, {draws} draws, two labels an item, 20 blocks:\n"
    )
    print("| items | share of b | accuracy | alpha | covered, 95 % interval |\n|--:|--:|--:|--:|---|")
    for items, rate, accuracy in ((50, 0.5, 0.85), (200, 0.5, 0.85), (200, 0.1, 0.9), (1000, 0.3, 0.8)):
        share = rate * accuracy + (1 - rate) * (1 - accuracy)
        same = accuracy**2 + (1 - accuracy) ** 2
        truth = 1 - (1 - same) / (2 * share * (1 - share))
        hits = tried = 0
        for seed in range(draws):
            interval = jackknife(_drawn_blocks(items, rate, accuracy, random.Random(seed)))[1]
            tried += interval is not None
            hits += interval is not None and interval[0] <= truth <= interval[1]
        print(f"| {items} | {rate} | {accuracy} | {truth:.2f} | {_share(hits, tried)} |", flush=True)


def _drawn_blocks(items: int, rate: float, accuracy: float, rng: random.Random) -> list[Coincidence]:
    blocks = [Coincidence() for _ in range(20)]
    for i in range(items):
        truth = rng.random() < rate
        labels = ["ab"[truth == (rng.random() < accuracy)] for _ in range(2)]
        blocks[i % 20] = blocks[i % 20].merge(Coincidence.of_item(labels))
    return blocks


def scenario_table(folder: Path) -> None:
    """Print what `compare` says of the labels of the scenarios that concern labels."""
    print("\nReal labels, A against B (labels alone; `compare` adds what it sees of the texts):\n")
    print(
        "| scenario | judgements | gold given | drifted | cause | direction | tier | p |\n|---|--:|---|---|---|---|---|--:|"
    )
    scen = _module(folder / "scen.py")
    for line in (folder / "scenarios.jsonl").read_text().splitlines():
        scenario = json.loads(line)
        if "label" not in scenario["channels"]:
            continue
        a, b = (_judgements(scen.select(scenario, side)) for side in "AB")
        for gold in (True, False) if any(row.gold for row in a) else (False,):
            pair = [[row if gold else row._replace(gold=None) for row in side] for side in (a, b)]
            found = _compared(pair[0], pair[1], texts_moved="data" in scenario["channels"])
            print(
                f"| {scenario['name']} | {len(a)} / {len(b)} | {'yes' if gold else 'no'} | {'yes' if found.drifted else 'no'} | "
                f"{found.cause} | {found.direction} | {found.tier} | {found.p_value:.4f} |",
                flush=True,
            )


def real_null_table(folder: Path, seeds: int) -> None:
    """Print how often random halves of the same labels are called different, at the level that labels have."""
    level = 0.01 * LEVEL
    print(f"\nReal labels, random halves of the same rows, {seeds} draws each, level {level:g}:\n")
    print("| table | judgements | drifted |\n|---|--:|---|")
    scen = _module(folder / "scen.py")
    pools = {
        "crowd_rte_temp rte": [r for r in scen.table("crowd_rte_temp") if r["task"] == "rte"],
        "convabuse_full": scen.table("convabuse_full"),
        "wildbench_scores gpt-4o": [
            r for r in scen.table("wildbench_scores") if r["judge"].startswith("gpt-4o-2024-05-13")
        ],
        "label_streams PandaLM": [r for r in scen.table("label_streams") if r["source"] == "PandaLM"],
    }
    for name, rows in pools.items():
        pool = _judgements(rows)
        hits = 0
        for seed in range(seeds):
            random.Random(seed).shuffle(pool)
            size = min(600, len(pool) // 2)
            hits += _compared(pool[:size], pool[size : 2 * size]).drifted
        print(f"| {name} | 2 x {size} | {_share(hits, seeds)} |", flush=True)
    print("\n| same judge, another seed (648 pairs) | p |\n|---|--:|")
    table = scen.table("ae_judge_seeds")
    seeds_of = sorted({(row["judge"], row["seed"]) for row in table})
    for i, one in enumerate(seeds_of):
        for other in seeds_of[i + 1 :]:
            if one[0] == other[0]:
                a, b = (
                    _judgements([r for r in table if (r["judge"], r["seed"]) == key]) for key in (one, other)
                )
                print(f"| {one[0]} {one[1]} → {other[1]} | {_compared(a, b).p_value:.3f} |", flush=True)


def _compared(a: Sequence[Judgement], b: Sequence[Judgement], *, texts_moved: bool = False) -> Labels:
    scheme = Scheme.learn([row.label for row in a])
    before, after = sides(scheme, a, b)
    found = found_once(contrast(scheme, a, b), 0.01 * LEVEL)
    return label_verdict(scheme, before, after, found, thresholds=Thresholds(), texts_moved=texts_moved)


def _judgements(rows: Sequence[dict[str, Any]]) -> list[Judgement]:
    """Return the labels of rows; an item is what the table says it is, else its texts."""
    found = []
    for row in rows:
        label = label_text(next((row[key] for key in ("label", "score", "preference") if key in row), None))
        who = next((str(row[key]) for key in ("annotator", "rater", "judge") if row.get(key)), "")
        parts = [
            str(row[key]) for key in ("item", "model", "session", "pid", "qid") if row.get(key) is not None
        ]
        item = "|".join(parts) or f"{row.get('prompt')}|{row.get('response')}"
        if label is not None:
            found.append(Judgement(item, who, label, label_text(row.get("gold"))))
    return found


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("scen", path)
    if spec is None or spec.loader is None:
        sys.exit(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _share(hits: int, of: int) -> str:
    low = beta.ppf(0.025, hits, of - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, of - hits) if hits < of else 1.0
    return f"{hits}/{of} = {hits / max(1, of):.1%} [{low:.1%}, {high:.1%}]"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, default=40)
    arguments = parser.parse_args()
    use_one_thread()
    np.seterr(all="ignore")
    if (arguments.data / "scenarios.jsonl").exists():
        scenario_table(arguments.data)
        real_null_table(arguments.data, 5 * arguments.seeds)
    else:
        print(f"{arguments.data}: absent; real labels were not measured")
    coverage_table(10 * arguments.seeds)
    null_table(arguments.seeds)
    delay_table(arguments.seeds)


if __name__ == "__main__":
    main()
