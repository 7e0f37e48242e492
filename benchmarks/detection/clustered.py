"""The level of `compare` on files whose users stay on a topic, with and without knowing the users. Prints a table.

    .venv/bin/python -m benchmarks.detection.clustered DATA [--seeds 200]

Both sides are drawn from one pool, so every rejection is a false alarm. Visits have a geometric length of six exchanges
on average and stay on one topic. *new users*: every visit is another user's; *returning*: sixty users come again, on
both sides; *busy*: one user, always the same, makes a tenth of the visits of both sides with few prompts; *flood*: the
same in the window alone. Without DATA nothing is measured, and that is said.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from benchmarks.detection.figures import Share, table
from benchmarks.detection.nulls import pools
from benchmarks.detection.pools import Data, Pool
from monitor.evidence.twosample import compare_samples
from monitor.sketch.scored import Scored
from monitor.threads import use_one_thread

# Exchanges a side, mean length of a visit, users who come again, share and prompts of the busy one.
SIZE, VISIT, RETURNING, BUSY, BUSY_ROWS = 300, 6.0, 60, 0.1, 40
KINDS = ("new users", "returning", "busy", "flood")


class Counted(NamedTuple):
    """Rejections at 5 % and at 1 %, of so many pairs, and CPU seconds a pair."""

    at_5: int
    at_1: int
    cpu_s: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "driftgate-detection")
    arguments = parser.parse_args()
    use_one_thread()
    rows = []
    for name, pool in pools(Data(arguments.data, arguments.cache)).items():
        for kind in KINDS:
            for known in (False, True):
                found = count(pool, kind, arguments.seeds, known=known)
                shares = Share(found.at_5, arguments.seeds), Share(found.at_1, arguments.seeds)
                rows.append((name, kind, "known" if known else "unknown", *shares, f"{found.cpu_s:.2f}"))
                sys.stderr.write(f"{name}, {kind}: {found}\n")
    head = ("pool", "traffic", "users", "false alarms at 5 %", "at 1 %", "CPU s")
    sys.stdout.write(table(head, rows) + "\n")


def count(pool: Pool, kind: str, seeds: int, *, known: bool) -> Counted:
    """Compare driftless pairs of files."""
    p_values, began = [], time.process_time()
    for seed in range(seeds):
        rng = np.random.default_rng([4, seed])
        before, after = (drawn(pool, kind, rng, side, known=known) for side in "AB")
        p_values.append(compare_samples(before, after, seed=seed).p_value)
    p = np.array(p_values)
    return Counted(int((p <= 0.05).sum()), int((p <= 0.01).sum()), (time.process_time() - began) / seeds)


def drawn(pool: Pool, kind: str, rng: np.random.Generator, side: str, *, known: bool) -> Scored:
    """Draw one side."""
    by_topic = [np.flatnonzero(pool.topic == topic) for topic in np.unique(pool.topic)]
    weight = np.array([len(rows) for rows in by_topic]) / pool.size
    own = np.random.default_rng(7).choice(by_topic[0], BUSY_ROWS)
    rows: list[int] = []
    users: list[str] = []
    while len(rows) < SIZE:
        length = int(rng.geometric(1.0 / VISIT))
        busy = kind in {"busy", "flood"} and rng.random() < BUSY and (kind == "busy" or side == "B")
        topic = by_topic[rng.choice(len(by_topic), p=weight)]
        rows += rng.choice(own if busy else topic, length).tolist()
        name = f"u{rng.integers(RETURNING)}" if kind == "returning" else f"{side}{len(users)}"
        users += ["busy" if busy else name] * length
    scored = pool.scored.take(rows[:SIZE])
    exchanges = [
        msgspec.structs.replace(e, id=f"{side}{i}", user=user if known else None)
        for i, (e, user) in enumerate(zip(scored.exchanges, users, strict=False))
    ]
    return scored._replace(exchanges=exchanges)


if __name__ == "__main__":
    main()
