"""How small a change would still be seen within a day.

Every bet's log wealth on a day's exchanges is linear in what it watches, so much of a score or of a count. From two
made-up days one reads that line off for all bets at once, and solves it for the change at which the bet reaches the
alarm by the expected path, about half of the time earlier (Wald 1945).

Law of this file: pure, and it knows nothing of how the detector bets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.baseline.frozen import Baseline
from monitor.evidence.edetector import Detector
from monitor.evidence.scores import families
from monitor.sketch.bucket import Bucket
from monitor.sketch.layout import COUNTS, PROMPT_SCORES, RESPONSE_SCORES, SCALE, SYSTEM_SCORES

Floats = NDArray[np.float64]

# What counts of exchanges are out of; everything else in `COUNTS` is a hit.
_OUT_OF = ("exchanges", "prompts", "answers", "supported", "rewarded", "timed")


def smallest_seen(detector: Detector, baseline: Baseline, per_day: float) -> dict[str, float]:
    """Return for each watched name the smallest change seen within a day of `per_day` exchanges.

    Scores are in standard deviations, rates in shares above the baseline's own.
    """
    (at_zero, _), (at_one, _) = (detector.bet(_made_up(baseline, per_day, hits)) for hits in (0.0, 1.0))
    needed = detector.log_alarm - detector.log_weights
    found: dict[str, float] = {}
    for process, start, rise, log_alarm in zip(
        detector.processes, at_zero.tolist(), (at_one - at_zero).tolist(), needed.tolist(), strict=True
    ):
        if rise * process.sign <= 0.0:
            continue
        level = (log_alarm - start) / abs(rise) - _rate(baseline, process.name)
        found[process.name] = min(found.get(process.name, np.inf), level)
    return found


def _made_up(baseline: Baseline, per_day: float, hits: float) -> Bucket:
    """Make a day in which every score is `hits` and so is every rate; of what is measured, as much as usual."""
    reference, bucket = baseline.reference, Bucket.empty(baseline.id, baseline.shape)
    vector, layout = bucket.vector, bucket.layout
    days = per_day / max(1, reference.n)
    for name in COUNTS:
        out_of = name if name in _OUT_OF else _RATE_OUT_OF.get(name, "exchanges")
        layout.add(vector, name, round(reference.count(out_of) * days * (1.0 if name in _OUT_OF else hits)))
    layout.add(vector, "unsupported", round(reference.total("unsupported") * days))
    for family in families(baseline):
        layout.add(vector, family.sums, np.rint(SCALE * hits * family.counts(bucket.total)))
    return bucket


_SCORE_NAMES = frozenset((*PROMPT_SCORES, *RESPONSE_SCORES, *SYSTEM_SCORES))
_RATE_OUT_OF = {"novel_90": "prompts", "novel_98": "prompts", "refused": "answers"}


def _rate(baseline: Baseline, name: str) -> float:
    if name in _SCORE_NAMES:
        return 0.0
    out_of = baseline.reference.count(_RATE_OUT_OF.get(name, "exchanges"))
    return baseline.reference.count(name) / max(1, out_of)
