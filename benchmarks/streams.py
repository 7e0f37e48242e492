"""False alarms and delays of the live evidence, on streams drawn from public data. Prints Markdown tables.

    .venv/bin/python benchmarks/streams.py DATA [--days 30] [--seeds 10] [--runs 20]

Null streams: baseline and stream are drawn, with replacement, from one pool of exchanges, so nothing changes; the
evidence takes a step every minute for `--days` days, and every alarm is counted (the evidence then starts anew).
Changed streams: after 500 unchanged exchanges a share of them comes from another pool; the delay is counted in
exchanges from the change on. Without DATA nothing is measured, and that is said.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scenarios import sides_of
from scipy.stats import chi2

from monitor.baseline import Baseline, build_baseline
from monitor.contract.config import BaselineConfig
from monitor.evidence.edetector import Detector
from monitor.offline.scoring import score_all
from monitor.scorer.local import LocalScorer
from monitor.scorer.open import SHIPPED
from monitor.sketch.bucket import Bucket
from monitor.sketch.features import extract
from monitor.sketch.fold import fold_rows
from monitor.sketch.scored import Scored
from monitor.threads import use_one_thread

BASELINE = 5000
Rows = NDArray[np.int64]
Draw = Callable[[np.random.Generator, int], NDArray[np.intp]]


class Seen(NamedTuple):
    """A pool of exchanges seen through a baseline: one sketch vector (n, size) each."""

    baseline: Baseline
    vectors: Rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--runs", type=int, default=20)
    arguments = parser.parse_args()
    if not (arguments.data / "scenarios.jsonl").exists():
        sys.exit(f"{arguments.data}: no scenarios.jsonl here; nothing was measured")
    use_one_thread()
    scorer = LocalScorer(SHIPPED)
    pools = {name: _pools(arguments.data, scorer, name) for name in _SCENARIOS}
    print(
        "| nothing changes: pool, exchanges a minute | days | alarms | in 30 days, 95 % interval |\n|---|--:|--:|---|"
    )
    for name, rate in _NULLS:
        alarms = sum(
            _null_alarms(pools[name][0], rate, arguments.days, seed) for seed in range(arguments.seeds)
        )
        days = arguments.days * arguments.seeds
        print(f"| {name}, {rate:g} | {days:g} | {alarms} | {_rate(alarms, days)} |", flush=True)
    print(
        "\n| change | share | median delay | 90 % | missed | alarm before the change |\n|---|--:|--:|--:|--:|--:|"
    )
    for name, share in _CHANGES:
        runs = [_delay(*pools[name], share, seed) for seed in range(arguments.runs)]
        print(f"| {name} | {share:.0%} | {_delays(runs)} |", flush=True)


_SCENARIOS = (
    "clinc-domain-swap",
    "ae-gpt4-0314-to-gpt35-0301",
    "ae-vicuna-to-falcon",
    "ae-gpt35-concise",
    "null-bon-halves",
)
_NULLS = (
    ("null-bon-halves", 10.0),
    ("clinc-domain-swap", 10.0),
    ("ae-gpt4-0314-to-gpt35-0301", 10.0),
    ("null-bon-halves", 1.0),
)
_CHANGES = (
    *(("clinc-domain-swap", share) for share in (0.05, 0.1, 0.2, 0.4)),
    *(("ae-gpt4-0314-to-gpt35-0301", share) for share in (0.1, 0.25, 0.5, 1.0)),
    ("ae-vicuna-to-falcon", 1.0),
    ("ae-gpt35-concise", 1.0),
)


def _pools(folder: Path, scorer: LocalScorer, name: str) -> tuple[Scored, Scored]:
    _, a, b = next(sides_of(folder, [name]))
    return score_all(a[:4000], scorer), score_all(b[:4000], scorer)


def _baseline(pool: Scored, rng: np.random.Generator) -> Baseline:
    drawn = pool.take(rng.integers(0, len(pool.exchanges), BASELINE))
    return build_baseline(drawn, route="default", scorer="shipped", settings=BaselineConfig(), created=0.0)


def _see(baseline: Baseline, pool: Scored) -> Seen:
    features = extract(pool)
    encoded = baseline.encode(pool, features)
    each = (
        fold_rows(baseline, pool, features, encoded, np.array([row])) for row in range(len(pool.exchanges))
    )
    return Seen(baseline, np.stack([bucket.vector for bucket in each]))


def _minute(seen: Seen, rows: NDArray[np.intp]) -> Bucket:
    return Bucket(seen.baseline.id, seen.baseline.shape, seen.vectors[rows].sum(axis=0))


def _null_alarms(pool: Scored, rate: float, days: float, seed: int) -> int:
    rng = np.random.default_rng([1, seed])
    seen = _see(_baseline(pool, rng), pool)
    detector = Detector(seen.baseline, 1.0)
    evidence, alarms = detector.start(), 0
    for minute in range(round(days * 24 * 60)):
        count = rng.poisson(rate)
        if not count:
            continue
        delta = _minute(seen, rng.integers(0, len(seen.vectors), count))
        evidence = detector.advance(evidence, delta, minutes=1.0, now=60.0 * minute)
        if evidence.alarmed:
            alarms, evidence = alarms + 1, detector.start()
    return alarms


def _delay(pool: Scored, other: Scored, share: float, seed: int) -> float:
    """Return the exchanges from the change to the alarm; inf when there is none, -1 when it came before."""
    rng = np.random.default_rng([2, seed])
    baseline = _baseline(pool, rng)
    before, after = _see(baseline, pool), _see(baseline, other)
    detector = Detector(baseline, 1.0)
    evidence = detector.start()
    for minute, changed in _mixture(rng, share):
        rows = [
            (after if new else before).vectors[rng.integers(0, len((after if new else before).vectors))]
            for new in changed
        ]
        delta = Bucket(baseline.id, baseline.shape, np.sum(rows, axis=0))
        evidence = detector.advance(evidence, delta, minutes=1.0, now=60.0 * minute)
        if evidence.alarmed:
            return 10.0 * (minute - 49) if minute >= 50 else -1.0
    return float("inf")


def _mixture(
    rng: np.random.Generator, share: float, rate: int = 10
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield minutes of ten exchanges: 50 unchanged ones, then up to 600 with a share changed."""
    for minute in range(650):
        yield minute, rng.random(rate) < (share if minute >= 50 else 0.0)


def _rate(alarms: int, days: float) -> str:
    low = chi2.ppf(0.025, 2 * alarms) / 2 if alarms else 0.0
    high = chi2.ppf(0.975, 2 * alarms + 2) / 2
    scale = 30.0 / days
    return f"{alarms * scale:.2f} ({low * scale:.2f} to {high * scale:.2f})"


def _delays(runs: list[float]) -> str:
    early = sum(run < 0 for run in runs)
    delays = [run for run in runs if run >= 0]
    missed = sum(np.isinf(delays))
    # "higher" never averages a finite delay with a miss.
    middle, late = (np.quantile(delays, q, method="higher") for q in (0.5, 0.9))
    return f"{middle:.0f} | {late:.0f} | {missed} of {len(runs)} | {early}"


if __name__ == "__main__":
    main()
