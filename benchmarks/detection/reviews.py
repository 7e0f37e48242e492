"""Coverage of the interval for the share of bad exchanges that reviews give. Needs no data; prints a Markdown table.

    .venv/bin/python -m benchmarks.detection.reviews [--weeks 1000]

Hours of 200 exchanges with uniform anomaly p-values; an exchange is bad with a chance that rises as its p-value falls (the
unusual ones are worse, as one hopes), or does not depend on it. Of each hour 12 are drawn as the monitor draws them, and a
share of these is judged. The truth is the share of bad ones among all.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np

from benchmarks.detection.figures import Share
from monitor.review.estimate import Reviewed, bad_share
from monitor.review.sampling import draw, keep, times


class Case(NamedTuple):
    """The share of bad exchanges, whether it depends on the anomaly, hours, and the share of items judged."""

    share: float
    depends: bool
    hours: int
    judged: float


CASES = [
    Case(share, depends, hours, judged)
    for share in (0.01, 0.05, 0.2)
    for depends in (True, False)
    for hours, judged in ((10, 1.0), (100, 0.3))
]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weeks", type=int, default=1000)
    arguments = parser.parse_args()
    print("| bad | unusual ones worse | hours, judged | reviews | covered | mean width | bias |")
    print("|--:|---|---|--:|---|--:|--:|")
    for case in CASES:
        rng = np.random.default_rng([5, CASES.index(case)])
        found = [_week(case, rng) for _ in range(arguments.weeks)]
        covered = Share(sum(low <= truth <= high for _, low, high, truth, _ in found), len(found))
        width = float(np.mean([high - low for _, low, high, _, _ in found]))
        bias = float(np.mean([share - truth for share, _, _, truth, _ in found]))
        reviews = float(np.mean([n for *_, n in found]))
        unusual = "yes" if case.depends else "no"
        print(
            f"| {case.share:.0%} | {unusual} | {case.hours}, {case.judged:.0%} | {reviews:.0f} | {covered} | {width:.3f} | {bias:+.4f} |",
            flush=True,
        )


def _week(case: Case, rng: np.random.Generator) -> tuple[float, float, float, float, int]:
    """Return the estimate with its interval, the truth, and how many were judged."""
    reviews: list[Reviewed] = []
    bad_ones = 0
    for hour in range(case.hours):
        p = rng.random(200)
        chance = np.minimum(1.0, 0.5 * case.share / np.sqrt(p)) if case.depends else np.full(200, case.share)
        bad = rng.random(200) < chance
        week = rng.integers(2**62)
        draws = [draw(f"{week} {hour} {i}", float(value), focused=False) for i, value in enumerate(p)]
        kept = keep((drawn.priority for drawn in draws), 12)
        reviews += [
            Reviewed(times(draws[place].weight, kept.threshold), bool(bad[place]))
            for place in kept.places
            if rng.random() < case.judged
        ]
        bad_ones += int(bad.sum())
    found = bad_share(reviews)
    if found is None:
        return 0.0, 0.0, 1.0, 0.0, 0
    return found.share, found.low, found.high, bad_ones / (200.0 * case.hours), len(reviews)


if __name__ == "__main__":
    main()
