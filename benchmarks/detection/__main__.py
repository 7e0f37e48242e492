"""What the detection raises on nothing, how soon it sees a change, and what it says of it, on public data.

    make bench-detection DATA=../shared/data                      everything; hours
    .venv/bin/python -m benchmarks.detection DATA --quick         the same, fewer and shorter; minutes
    .venv/bin/python -m benchmarks.detection DATA --only nulls drifts [--null sessions] [--world topics]
    .venv/bin/python -m benchmarks.detection DATA --scenario NAME --write FOLDER     files for the commands

Prints a Markdown page of everything measured so far; `--out FILE` writes it and `--plots FOLDER` draws. DATA is a folder
with `scenarios.jsonl` and `scen.py`; without it nothing is measured, and that is said. Scores, and what each section
found last, are kept in `--cache`, outside the repository, so sections may be run one by one. Everything is seeded. Peers are measured where `--peers` names the Python interpreters of environments that hold them (`peers.txt`).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.detection import (
    capture,
    coverage,
    drifts,
    equal_power,
    nulls,
    peer_tables,
    peers,
    plots,
    windows,
)
from benchmarks.detection.pools import Data
from benchmarks.detection.report import Kept
from benchmarks.detection.seeds import Seeds, seeds
from benchmarks.detection.worlds import worlds
from monitor.commands.terminal import progress
from monitor.threads import use_one_thread


class Sizes(NamedTuple):
    """How much is run: virtual days and seeds of nulls, baselines and runs of drifts, windows.

    Intervals are asked for on three times as many baselines, `intervals` windows in each case.
    """

    days: float
    seeds: int
    baselines: int
    runs: int
    repeats: int
    intervals: int
    peer_windows: int


FULL = Sizes(days=30.0, seeds=20, baselines=20, runs=5, repeats=8, intervals=40, peer_windows=200)
QUICK = Sizes(days=2.0, seeds=1, baselines=1, runs=2, repeats=1, intervals=10, peer_windows=8)
Section = Callable[[Seeds, argparse.Namespace, Sizes], None]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--quick", action="store_true", help="a few minutes in all; figures of no weight")
    parser.add_argument("--only", nargs="*", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--null", default="", help="nulls whose title holds this")
    parser.add_argument("--world", default="", help="drifts and peers of the worlds whose name holds this")
    parser.add_argument("--change", default="", help="drifts whose title holds this")
    parser.add_argument("--learn-days", type=float, default=0.0, help="days that drifts' baselines cover")
    parser.add_argument("--scenario", default="", help="pairs of the scenarios whose name holds this")
    parser.add_argument("--write", type=Path, help="write both sides of the scenarios here, and stop")
    parser.add_argument("--plots", type=Path, help="draw into this folder")
    parser.add_argument("--out", type=Path, help="write the page here as well")
    parser.add_argument(
        "--peers",
        type=Path,
        nargs="*",
        default=[],
        help="Python interpreters of peers; without, their kept answers",
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes for nulls and drifts"
    )
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "driftgate-detection")
    for field, whole in FULL._asdict().items():
        parser.add_argument(f"--{field}", type=type(whole), help=f"full: {whole:g}")
    arguments = parser.parse_args()
    use_one_thread()  # as the commands do
    data = Data(arguments.data, arguments.cache)
    chosen = {
        name: getattr(arguments, name) for name in Sizes._fields if getattr(arguments, name) is not None
    }
    sizes = (QUICK if arguments.quick else FULL)._replace(**chosen)
    if arguments.write:
        windows.write_sides(data, arguments.scenario, arguments.write)
        return
    with seeds(data, arguments.jobs) as run:
        for name in arguments.only:
            SECTIONS[name](run, arguments, sizes)
    kept = Kept(arguments.cache)
    if arguments.plots:
        _draw(kept, arguments.plots)
    page = kept.page(arguments.plots)
    print(page)
    if arguments.out:
        arguments.out.write_text(page, encoding="utf-8")


def _nulls(run: Seeds, arguments: argparse.Namespace, sizes: Sizes) -> None:
    chosen = [null for null in nulls.NULLS if arguments.null in null.title]
    kept = Kept(arguments.cache)
    nulls.pools(run.data)  # scored once, before others read it
    with _ticking("nulls", len(chosen) * sizes.seeds) as tick:
        for null in chosen:
            found = nulls.count(null, sizes.days, sizes.seeds, run, tick)
            _say(f"{null.title}: {found.alarms}")
            kept.found.setdefault("nulls", {})[null.title] = nulls.packed(found)
            counted = nulls.unpacked(kept.found["nulls"])
            alarms = [
                [c.null.title, c.alarms.events, c.alarms.days]
                for c in counted
                if not c.null.name.endswith(nulls.UNLEARNT)
            ]
            said = f"Days over several baselines, {sizes.days:g} after each in the row that was run last."
            kept.keep("nulls", said, [("", nulls.write(counted))], alarms=alarms)


def _drifts(run: Seeds, arguments: argparse.Namespace, sizes: Sizes) -> None:
    kept = Kept(arguments.cache)
    how = drifts.How(sizes.baselines, sizes.runs, arguments.learn_days, arguments.change)
    with _ticking("drifts", None) as tick:
        for name in [name for name in worlds() if arguments.world in name]:
            worlds()[name](run.data, np.random.default_rng(0), 0)  # scored once, before others read it
            mine = list(drifts.measure(name, how, run, tick))
            for cell in mine:
                _say(f"{cell.change.title}: {cell.delays.write(0.5)}, {cell.delays.write(0.9)}")
            kept.found.setdefault("worlds", {})[name] = drifts.packed(mine)
            _keep_drifts(kept, _cells(kept), sizes)


def _cells(kept: Kept) -> list[drifts.Cell]:
    """Return the cells of every world that was measured, in the order of the worlds."""
    found = kept.found.get("worlds", {})
    return [cell for name in worlds() for cell in drifts.unpacked(found.get(name, []))]


def _draw(kept: Kept, folder: Path) -> None:
    counted, cells = nulls.unpacked(kept.found.get("nulls", {})), _cells(kept)
    if counted:
        plots.save(folder / "detection-nulls.svg", plots.nulls(counted))
    if cells:
        plots.save(folder / "detection-delays.svg", plots.delays(cells))
    if any(cell.world == "topics" for cell in cells):
        plots.save(folder / "detection-power.svg", plots.power(cells))


def _keep_drifts(kept: Kept, cells: list[drifts.Cell], sizes: Sizes) -> None:
    parts = [
        ("Delays", drifts.write_delays(cells)),
        ("What verdicts said", drifts.write_words(cells)),
        ("All runs together", drifts.write_sums(cells)),
    ]
    found = {c.change.title: [d if d < c.horizon else None for d in c.delays.found] for c in cells}
    said = (
        f"{sizes.baselines} baselines, {sizes.runs} runs on each; a run without an alarm counts as "
        f"{drifts.HORIZON:,.0f} exchanges ({drifts.FINITE_HORIZON:,.0f} where a few hundred questions are all there is)."
    )
    horizons = {c.change.title: c.horizon for c in cells}
    kept.keep("drifts", said, parts, delays=found, horizons=horizons, sums=drifts.sums(cells))


def _windows(run: Seeds, arguments: argparse.Namespace, sizes: Sizes) -> None:
    data = run.data
    found: list[windows.Seen] = []
    rows: list[tuple[str, ...]] = []
    with _ticking("windows", None) as tick:
        for pair in windows.pairs(data, arguments.scenario):
            rows.append(windows.whole_row(pair, data.identity))
            found += windows.look(pair, data.identity, sizes.repeats, tick)
            _say(" | ".join(rows[-1]))
    parts = [
        ("Pairs, whole", windows.write_whole(rows)),
        ("Windows", windows.write_looks(found)),
        ("Windows found, by scenario", windows.write_misses(found)),
    ]
    said = f"{sizes.repeats} random windows of each kind for each scenario."
    Kept(arguments.cache).keep("windows", said, parts, windows=windows.counts(found))


def _coverage(run: Seeds, arguments: argparse.Namespace, sizes: Sizes) -> None:
    data = run.data
    baselines = 3 * sizes.baselines
    with _ticking("intervals", 2 * baselines) as tick:
        held = list(coverage.measure_coverage(data, baselines=baselines, windows=sizes.intervals, tick=tick))
    said = f"{baselines} baselines, {sizes.intervals} windows of {coverage.WINDOW} on each in each case."
    parts = [("", coverage.write(held))]
    Kept(arguments.cache).keep("coverage", said, parts, coverage=coverage.counts(held))


def _capture(run: Seeds, arguments: argparse.Namespace, sizes: Sizes) -> None:
    with _ticking("capture", max(capture.DOMAINS, sizes.baselines)) as tick:
        found = capture.measure_capture(run.data, baselines=sizes.baselines, tick=tick)
    baselines = len(found) // 2
    said = f"{baselines} baselines of nine domains of prompts; the tenth, another one each time, was never there."
    Kept(arguments.cache).keep("capture", said, [("", capture.write(found))])


def _peers(run: Seeds, arguments: argparse.Namespace, sizes: Sizes) -> None:
    data = run.data
    chosen = peers.Sizes(sizes.peer_windows, sizes.days, sizes.baselines)
    with _ticking("peers' windows", len(peers.CASES)) as tick:
        arrays = peers.prepare(data, chosen, arguments.world, tick)
    answers = peers.ask(arrays, arguments.peers, arguments.cache)
    kept = Kept(arguments.cache)
    rows = peer_tables.all_rows(arrays, answers, chosen, kept.found)
    ratios = peer_tables.ratios(rows)
    said = (
        f"Windows of {peers.WINDOW} ({peers.FINITE_WINDOW} where a few hundred questions are all there is); {chosen.windows} unchanged ones a world to tune on and as many to test on, streams of "
        f"{chosen.days:g} days each. Not answered by any interpreter: {', '.join(peers.absent(answers)) or 'none'}."
    )
    parts = [
        ("Median delay, exchanges", peer_tables.write(rows)),
        ("Against the best peer that keeps to our rate", peer_tables.write_ratios(ratios)),
    ]
    mine, equal = peer_tables.ours(kept.found), list(equal_power.equal_power(arrays, kept))
    parts.append(("Fixed thresholds moved to our delay", equal_power.write(equal)))
    fewer = equal_power.fewer(equal, mine.false) if mine else None
    kept.keep("peers", said, parts, ratios={r.title: r.value for r in ratios}, fewer=fewer)


SECTIONS: dict[str, Section] = {
    "nulls": _nulls,
    "drifts": _drifts,
    "windows": _windows,
    "coverage": _coverage,
    "capture": _capture,
    "peers": _peers,
}


@contextmanager
def _ticking(what: str, total: float | None) -> Iterator[Callable[[], None]]:
    """Give a function that moves a bar on by one."""
    done = count(1)
    with progress(what, total) as show:
        yield lambda: show(next(done))


def _say(line: str) -> None:
    """Tell whoever waits what was found last."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
