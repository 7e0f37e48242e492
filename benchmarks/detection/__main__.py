"""What the detection raises on nothing, measured on public data. Prints Markdown tables.

    .venv/bin/python -m benchmarks.detection DATA [--days 30] [--seeds 20] [--quick] [--cache FOLDER]

DATA is a folder with `scenarios.jsonl` and `scen.py`. Without it nothing is measured, and that is said.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.detection import nulls
from benchmarks.detection.pools import Data
from monitor.commands.terminal import progress
from monitor.threads import use_one_thread


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--days", type=float, default=30.0, help="virtual days a seed")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="2 seeds of 5 days")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "driftgate-detection")
    arguments = parser.parse_args()
    use_one_thread()  # as the commands do
    data = Data(arguments.data, arguments.cache)
    days, seeds = (5.0, 2) if arguments.quick else (arguments.days, arguments.seeds)
    found, done, pools = [], 0, nulls.pools(data)
    with progress("streams", len(nulls.NULLS) * seeds) as show:

        def tick() -> None:
            nonlocal done
            done += 1
            show(done)

        for null in nulls.NULLS:
            counted = nulls.count(null, pools[null.pool], data.identity, days=days, seeds=seeds, tick=tick)
            found.append(counted)
    print(nulls.write(found))


if __name__ == "__main__":
    main()
