"""Comparing two sets of exchanges, once: the verdict of `driftgate compare`.

The evidence is the exact two-sample test at one level for all signals; effects, tiers, cause and words are those of
the live monitor.
"""

from __future__ import annotations

import msgspec
import numpy as np

from monitor.baseline import build_baseline
from monitor.contract import Verdict
from monitor.contract.config import BaselineConfig, Detection
from monitor.evidence.findings import Findings
from monitor.evidence.twosample import TwoSample, compare_samples, family_level
from monitor.sketch.features import extract
from monitor.sketch.fold import fold_rows
from monitor.sketch.scored import Scored
from monitor.verdict.judge import judge

# Fewest exchanges in the window to judge at all when looking once.
FEWEST = 20


def compare(
    baseline: Scored,
    window: Scored,
    *,
    scorer: str,
    alpha: float,
    learning: BaselineConfig,
    detection: Detection,
    now: float,
) -> Verdict:
    """Return the verdict on `window` against `baseline`. Raises BaselineError when the baseline is too thin."""
    route = window.exchanges[0].route if window.exchanges else "default"
    reference = build_baseline(baseline, route=route, scorer=scorer, settings=learning, created=now)
    features = extract(window)
    encoded = reference.encode(window, features)
    bucket = fold_rows(reference, window, features, encoded, np.arange(len(window.exchanges)))
    settings = msgspec.structs.replace(detection, min_window=min(detection.min_window, FEWEST))
    found = findings_of(compare_samples(baseline, window), alpha)
    arm = window.exchanges[0].arm if window.exchanges else "control"
    return judge(reference, bucket, found, arm=arm, settings=settings, now=now)


def findings_of(tested: TwoSample, alpha: float) -> Findings:
    """Return what a two-sample test at level `alpha` says."""
    shows = {name: p <= family_level(name, tested.families, alpha) for name, p in tested.families.items()}
    return Findings(
        drifted=tested.p_value <= alpha,
        traffic=shows.get("traffic", False),
        behaviour=shows.get("behaviour", False),
        service=shows.get("service", False),
        signal_level=alpha,
        p_values=tested.families,
    )
