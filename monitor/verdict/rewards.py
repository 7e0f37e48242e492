"""How far rewards moved, in the unit that people act on: at equal questions, and at equal answers besides.

Law of this file: pure. Nothing is said where fewer than `FEWEST` rewards stand on either side.
"""

from __future__ import annotations

import numpy as np

from monitor.baseline.frozen import Baseline
from monitor.sketch.bucket import Bucket
from monitor.sketch.layout import RESPONSE_SCORES

FEWEST = 20
CONTROLLED = RESPONSE_SCORES.index("style-controlled reward")


def dispersion_of(baseline: Baseline, family: str, name: str, names: tuple[str, ...]) -> float:
    """Return the overdispersion of one score."""
    return float(baseline.overdispersion[family][names.index(name)])


def reward_scale(baseline: Baseline) -> float:
    """Return what a relative reward change is relative to.

    That is the baseline's mean where rewards are positive (probabilities, ratings). For rewards around zero, such as
    raw logits, it is chosen such that one standard deviation counts as 50 %.
    """
    mean = baseline.reference.total("reward") / baseline.reference.count("rewarded")
    spread = _spread(baseline)
    return mean if mean > 0.5 * spread else 2.0 * spread


def reward_behaviour(baseline: Baseline, window: Bucket) -> tuple[float, float]:
    """Return the change of reward given the prompt over supported prompts, in reward units, and its error."""
    reference = baseline.reference
    n, m = window.comparable, reference.comparable
    if n < FEWEST or m < FEWEST:
        return 0.0, float("inf")
    change = window.total("residual") / n - reference.total("residual") / m
    dispersion = dispersion_of(baseline, "response", "reward", RESPONSE_SCORES)
    variance = [
        bucket.total("residual_sq") / size - (bucket.total("residual") / size) ** 2
        for bucket, size in ((window, n), (reference, m))
    ]
    return change, float(np.sqrt(dispersion * (max(variance[0], 1e-12) / n + max(variance[1], 1e-12) / m)))


def style_controlled(baseline: Baseline, window: Bucket) -> tuple[float, float] | None:
    """Return the change of reward that neither prompts nor style and content of answers explain, and its error.

    Both are relative, as a reward change is (`reward_scale`).
    """
    n, m = window.comparable, baseline.reference.comparable
    if n < FEWEST or m < FEWEST or not baseline.controlled.spread:
        return None
    unit = baseline.controlled.spread * _spread(baseline) / reward_scale(baseline)
    before, after = (
        float(bucket.read("response_scores")[CONTROLLED]) / size
        for bucket, size in ((baseline.reference, m), (window, n))
    )
    dispersion = dispersion_of(baseline, "response", RESPONSE_SCORES[CONTROLLED], RESPONSE_SCORES)
    return (after - before) * unit, float(np.sqrt(dispersion * (1 / n + 1 / m))) * unit


def _rewarded(bucket: Bucket) -> int:
    """Return how many rewarded answers belong to supported prompts."""
    return bucket.count("rewarded") - int(bucket.total("unsupported"))


def _spread(baseline: Baseline) -> float:
    m = baseline.reference.count("rewarded")
    mean = baseline.reference.total("reward") / m
    return float(np.sqrt(max(baseline.reference.total("reward_sq") / m - mean**2, 1e-12)))
