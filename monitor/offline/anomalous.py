"""The most unusual single exchanges of recorded ones, with the reason, for whoever wants to look at something first."""

from __future__ import annotations

import msgspec
import numpy as np

from monitor.baseline import Baseline
from monitor.baseline.single import judge_single, reasons_of
from monitor.contract import Anomaly, Verdict
from monitor.sketch.features import extract
from monitor.sketch.reservoir import excerpt
from monitor.sketch.scored import Scored

_SHOWN = 5
# Exchanges more usual than this are not worth showing, however few there are.
_RARE = 0.05
_CHUNK = 2048


def most_unusual(baseline: Baseline, scored: Scored) -> tuple[Anomaly, ...]:
    """Return the most unusual exchanges, the most unusual first."""
    found: list[tuple[float, float, Anomaly]] = []
    for start in range(0, len(scored.exchanges), _CHUNK):
        part = scored.take(range(start, min(start + _CHUNK, len(scored.exchanges))))
        features = extract(part)
        unusual = judge_single(baseline, part, features, baseline.encode(part, features))
        rare = np.flatnonzero(features.prompted & (unusual.p_value <= _RARE))
        best = rare[np.argsort(-unusual.total[rare], kind="stable")][:_SHOWN]
        for row in best.tolist():
            e, p_value = part.exchanges[row], float(unusual.p_value[row])
            answer = None if e.response is None else excerpt(e.response)
            anomaly = Anomaly(
                id=e.id,
                p_value=p_value,
                reasons=reasons_of(unusual, row),
                prompt=excerpt(e.prompt),
                response=answer,
            )
            found.append((-float(unusual.total[row]), start + row, anomaly))
    return tuple(anomaly for *_, anomaly in sorted(found, key=lambda entry: entry[:2])[:_SHOWN])


def with_anomalies(verdict: Verdict, baseline: Baseline, scored: Scored) -> Verdict:
    """Return the verdict with the most unusual of the exchanges it is about."""
    return msgspec.structs.replace(verdict, anomalies=most_unusual(baseline, scored))
