"""What the mirror's parts cost between others' requests: the proxy with parts left out, as a Markdown table.

    .venv/bin/python benchmarks/proxy/mirror_share.py           about 15 s a round

Law: as in `speed.py`, 32 connections, the proxy pinned to one core; all variants take turns in every round. A part is
replaced by nothing, or by a value made once (`without/sitecustomize.py`), so a variant says what the proxy would cost if
that part were free: no code of that part, however good, can do better.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median

from peers import TASKSET, Peer, Running, instant_model, ours
from speed import HERE, MIRROR_OFF, MIRROR_ON, Target, spread, wrk

# Title -> what is left out.
VARIANTS = {
    "nothing": "",
    "reading, redaction, making an exchange": "reading",
    "encoding and committing": "committing",
    "both: a thread that takes captures and drops them": "writing",
}


def without(title: str, steps: str) -> Peer:
    """Describe our proxy with steps left out."""
    whole = ours(MIRROR_ON)

    def command(folder: Path, port: int, model_port: int) -> list[str] | None:
        started = whole.command(folder, port, model_port)
        return started and ["env", f"PYTHONPATH={HERE / 'without'}", f"DRIFTGATE_WITHOUT={steps}", *started]

    return Peer(title, command)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=int, default=2, help="length of one run (default 2)")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None or not Path(TASKSET).exists() or (os.cpu_count() or 1) < 2:
        sys.exit("this needs wrk, taskset and two cores")
    with instant_model() as port, tempfile.TemporaryDirectory() as folder:
        _report(_measure(arguments, port, Path(folder)))


def _measure(arguments: argparse.Namespace, port: int, folder: Path) -> list[dict[str, float]]:
    """Return the processor time a request, in microseconds, of every variant, round by round."""
    peers = [ours(MIRROR_OFF, mirror__enabled=False)]
    peers += [without(title, steps) for title, steps in VARIANTS.items()]
    running: list[Running] = []
    try:
        for number, peer in enumerate(peers):
            running.append(Running(peer, folder / str(number), port))
        targets = [Target(proxy.peer.name, proxy.port, (), proxy) for proxy in running]
        rounds = []
        for number in range(arguments.rounds + 1):
            first = number % len(targets)
            turns = [*targets[first:], *targets[:first]]
            rounds.append({t.name: wrk(t, folder, 32, arguments.seconds).cpu_us for t in turns})
    finally:
        for proxy in running:
            proxy.stop()
    return rounds[1:]  # the first one warmed up


def _report(rounds: list[dict[str, float]]) -> None:
    print(f"\n{len(rounds)} rounds; medians (lowest to highest)\n")
    print("| left out | CPU µs a request | more than mirror off, µs | mirror off against it |")
    print("|---|--:|--:|--:|")
    off = [turn[MIRROR_OFF] for turn in rounds]
    for title in VARIANTS:
        mine = [turn[title] for turn in rounds]
        more = [own - base for own, base in zip(mine, off, strict=True)]
        ratio = [base / own for own, base in zip(mine, off, strict=True)]
        cells = [spread(mine, "{:.1f}"), spread(more, "{:.1f}"), spread(ratio, "{:.2f}")]
        print(f"| {title} | {' | '.join(cells)} |")
    print(f"\nMirror off: {spread(off, '{:.1f}')}; 0.80 would allow {0.25 * median(off):.1f} more.")


if __name__ == "__main__":
    main()
