"""What the detection raises on nothing, how soon it sees a change, and what it says of it, on public data.

    make bench-detection DATA=../shared/data                      everything; hours
    .venv/bin/python -m benchmarks.detection DATA --quick         the same, fewer and shorter; minutes
    .venv/bin/python -m benchmarks.detection DATA --only nulls drifts [--pool tulu] [--world topics]

Prints Markdown tables; `--plots FOLDER` draws them as well. DATA is a folder with `scenarios.jsonl` and `scen.py`;
without it nothing is measured, and that is said. Scores are kept in `--cache`, outside the repository. Everything is
seeded. Peers are measured where `--peers` names the Python interpreters of environments that hold them (`peers.txt`).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

from benchmarks.detection import coverage, drifts, nulls, peer_tables, peers, plots, windows
from benchmarks.detection.pools import Data
from benchmarks.detection.worlds import worlds
from monitor.commands.terminal import progress
from monitor.threads import use_one_thread


class Sizes(NamedTuple):
    """How much is run: virtual days and seeds of nulls, baselines and runs of drifts, windows."""

    days: float
    seeds: int
    baselines: int
    runs: int
    repeats: int
    intervals: int
    peer_windows: int


FULL = Sizes(days=30.0, seeds=20, baselines=10, runs=10, repeats=8, intervals=400, peer_windows=200)
QUICK = Sizes(days=2.0, seeds=1, baselines=1, runs=2, repeats=1, intervals=40, peer_windows=8)
Section = Callable[[Data, argparse.Namespace, Sizes], None]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--quick", action="store_true", help="a few minutes in all; figures of no weight")
    parser.add_argument("--only", nargs="*", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--pool", default="", help="nulls of the pools whose name holds this")
    parser.add_argument("--world", default="", help="drifts of the worlds whose name holds this")
    parser.add_argument("--scenario", default="", help="pairs of the scenarios whose name holds this")
    parser.add_argument("--plots", type=Path, help="draw into this folder")
    parser.add_argument("--peers", type=Path, nargs="*", default=[], help="Python interpreters of peers")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "driftgate-detection")
    for field, kind in Sizes.__annotations__.items():
        parser.add_argument(
            f"--{field}", type=float if kind == "float" else int, help=f"full: {getattr(FULL, field):g}"
        )
    arguments = parser.parse_args()
    use_one_thread()  # as the commands do
    data = Data(arguments.data, arguments.cache)
    chosen = {
        name: getattr(arguments, name) for name in Sizes._fields if getattr(arguments, name) is not None
    }
    sizes = (QUICK if arguments.quick else FULL)._replace(**chosen)
    for name in arguments.only:
        SECTIONS[name](data, arguments, sizes)


def _nulls(data: Data, arguments: argparse.Namespace, sizes: Sizes) -> None:
    chosen = [null for null in nulls.NULLS if arguments.pool in null.pool]
    pools = nulls.pools(data)
    with _ticking("nulls", len(chosen) * sizes.seeds) as tick:
        counted = [
            nulls.count(null, pools[null.pool], data.identity, days=sizes.days, seeds=sizes.seeds, tick=tick)
            for null in chosen
        ]
    _print("False alarms", nulls.write(counted))
    learnt = [c.alarms for c in counted if not c.null.name.endswith(nulls.UNLEARNT)]
    alarms = sum(rate.events for rate in learnt), sum(rate.days for rate in learnt)
    peer_tables.keep(arguments.cache / _KEPT, alarms=alarms)
    if arguments.plots:
        plots.save(arguments.plots / "detection-nulls.svg", plots.nulls(counted))


def _drifts(data: Data, arguments: argparse.Namespace, sizes: Sizes) -> None:
    with _ticking("drifts", sizes.baselines * len(worlds()) if not arguments.world else None) as tick:
        cells = list(
            drifts.measure(data, baselines=sizes.baselines, runs=sizes.runs, only=arguments.world, tick=tick)
        )
    _print("Delays", drifts.write_delays(cells))
    found = {c.change.title: [d if d < drifts.HORIZON else None for d in c.delays.found] for c in cells}
    peer_tables.keep(arguments.cache / _KEPT, delays=found)
    _print("Words", drifts.write_words(cells))
    _print("All words together", drifts.write_sums(cells))
    if arguments.plots:
        plots.save(arguments.plots / "detection-delays.svg", plots.delays(cells))
        plots.save(arguments.plots / "detection-power.svg", plots.power(cells))


def _windows(data: Data, arguments: argparse.Namespace, sizes: Sizes) -> None:
    found: list[windows.Seen] = []
    rows: list[tuple[str, ...]] = []
    with _ticking("windows", None) as tick:
        for pair in windows.pairs(data, arguments.scenario):
            rows.append(windows.whole_row(pair, data.identity))
            found += windows.look(pair, data.identity, sizes.repeats, tick)
    _print("Pairs, whole", windows.write_whole(rows))
    _print("Windows", windows.write_looks(found))
    _print("Windows found, by scenario", windows.write_misses(found))


def _coverage(data: Data, _: argparse.Namespace, sizes: Sizes) -> None:
    baselines = max(1, sizes.baselines // 3)
    with _ticking("intervals", 2 * baselines) as tick:
        held = list(coverage.measure_coverage(data, baselines=baselines, windows=sizes.intervals, tick=tick))
    _print("Coverage", coverage.write(held))


def _peers(data: Data, arguments: argparse.Namespace, sizes: Sizes) -> None:
    if not arguments.peers:
        print("No --peers were named: none was measured.\n")
    chosen = peers.Sizes(sizes.peer_windows, sizes.days, sizes.baselines)
    with _ticking("peers' windows", len(peers.CASES)) as tick:
        arrays = peers.prepare(data, chosen, tick)
    answers = peers.ask(arrays, arguments.peers, arguments.cache)
    rows = [
        *(row for name, found in answers["windows"].items() for row in peer_tables.window_rows(name, found)),
        *(
            row
            for name, found in answers["streams"].items()
            for row in peer_tables.stream_rows(name, found, chosen)
        ),
        *peer_tables.field_rows(arrays),
    ]
    mine = peer_tables.ours(arguments.cache / _KEPT)
    rows = [mine, *rows] if mine else rows
    _print("Peers", peer_tables.write(rows))
    _print("Against the best peer", peer_tables.write_ratios(rows))


# Our own figures, kept for the table of peers.
_KEPT = "ours.json"
SECTIONS: dict[str, Section] = {
    "nulls": _nulls,
    "drifts": _drifts,
    "windows": _windows,
    "coverage": _coverage,
    "peers": _peers,
}


@contextmanager
def _ticking(what: str, total: float | None) -> Iterator[Callable[[], None]]:
    """Give a function that moves a bar on by one."""
    done = count(1)
    with progress(what, total) as show:
        yield lambda: show(next(done))


def _print(title: str, text: str) -> None:
    print(f"### {title}\n\n{text}", flush=True)


if __name__ == "__main__":
    main()
