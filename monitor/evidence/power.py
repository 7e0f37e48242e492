"""How small a change would still be seen within a day.

Every bet's log wealth is linear in what it watches: so many exchanges, so much of a score or of a count. From two
made-up buckets one reads that line off for all bets at once, and solves it for the change at which the bet reaches the
alarm by the expected path, about half of the time earlier (Wald 1945).

Law of this file: pure, and it knows nothing of how the detector bets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.baseline.frozen import Baseline
from monitor.evidence.edetector import Detector
from monitor.sketch.bucket import Bucket
from monitor.sketch.layout import COUNTS, PROMPT_SCORES, RESPONSE_SCORES, SCALE, SYSTEM_SCORES

Floats = NDArray[np.float64]

_SCORES = (("prompt_scores", "prompts"), ("response_scores", "supported"), ("system_scores", "timed"))
# What counts of exchanges are out of; everything else in `COUNTS` is a hit.
_OUT_OF = ("exchanges", "prompts", "answers", "supported", "rewarded", "timed")
# The unit of a made-up bucket: large, so that rounding does not matter.
_MANY = 1000


def smallest_seen(detector: Detector, baseline: Baseline, per_day: float) -> dict[str, float]:
    """Return for each watched name the smallest change seen within a day of `per_day` exchanges.

    Scores are in standard deviations, rates in shares above the baseline's own.
    """
    nothing, everything = _made_up(baseline, hits=0.0), _made_up(baseline, hits=1.0)
    at_zero = detector.log_e_values(nothing) / _MANY
    slope = detector.log_e_values(everything) / _MANY - at_zero
    needed = detector.log_alarm - detector.log_weights
    found: dict[str, float] = {}
    for process, start, rise, log_alarm in zip(
        detector.processes, at_zero.tolist(), slope.tolist(), needed.tolist(), strict=True
    ):
        n = per_day * _part(baseline, process.name)
        if n <= 0.0 or rise * process.sign <= 0.0:
            continue
        level = (log_alarm / n - start) / abs(rise) - _rate(baseline, process.name)
        found[process.name] = min(found.get(process.name, np.inf), level)
    return found


def _made_up(baseline: Baseline, hits: float) -> Bucket:
    """Make a bucket of `_MANY` exchanges in which every score sums to `hits` each and every rate is `hits`."""
    bucket = Bucket.empty(baseline.id, baseline.shape)
    vector, layout = bucket.vector, bucket.layout
    for name in COUNTS:
        layout.add(vector, name, _MANY if name in _OUT_OF else round(_MANY * hits))
    for name, _ in _SCORES:
        field = layout.fields[name]
        layout.add(vector, name, np.full(field.stop - field.start, float(round(SCALE * _MANY * hits))))
    return bucket


_FIELD_OF = {
    name: (field, out_of)
    for (field, out_of), names in zip(_SCORES, (PROMPT_SCORES, RESPONSE_SCORES, SYSTEM_SCORES), strict=True)
    for name in names
}
_RATE_OUT_OF = {"novel_90": "prompts", "novel_98": "prompts", "refused": "answers"}


def _part(baseline: Baseline, name: str) -> float:
    """Return which part of all exchanges a name is measured on."""
    out_of = _FIELD_OF[name][1] if name in _FIELD_OF else _RATE_OUT_OF.get(name, "exchanges")
    return baseline.reference.count(out_of) / max(1, baseline.reference.n)


def _rate(baseline: Baseline, name: str) -> float:
    if name in _FIELD_OF:
        return 0.0
    out_of = baseline.reference.count(_RATE_OUT_OF.get(name, "exchanges"))
    return baseline.reference.count(name) / max(1, out_of)
