"""Attribution: which part of a reward change comes from the questions and which from the answers.

The baseline's expectation of the reward given the prompt splits the change (Oaxaca-Blinder; Kitagawa 1955):
`mix` is the change of what the prompts lead one to expect, `behaviour` the change of what they leave unexplained,
both over prompts the baseline had the like of; `unsupported` is the rest, for which no attribution is claimed
(Cai, Namkoong & Yadlowsky 2023, DISDE). The three add up to the whole change.
"""

from __future__ import annotations

import numpy as np

from monitor.baseline.frozen import Baseline
from monitor.contract import Attribution, Interval
from monitor.sketch.bucket import Bucket
from monitor.sketch.layout import RESPONSE_SCORES
from monitor.verdict.rewards import reward_behaviour

_FEWEST = 20


def attribute(baseline: Baseline, window: Bucket) -> Attribution | None:
    """Split the reward change of a window; None where there are too few rewards on either side."""
    baseline = baseline.matched(window)
    reference = baseline.reference
    n, m = window.count("rewarded"), reference.count("rewarded")
    supported, known = window.comparable, reference.comparable
    if supported < _FEWEST or known < _FEWEST:
        return None
    whole = window.total("reward") / n - reference.total("reward") / m
    mix, mix_error = _mix(baseline, window, supported, known)
    behaviour, behaviour_error = reward_behaviour(baseline, window)
    share = supported / n
    unsupported = whole - share * (mix + behaviour)
    return Attribution(
        mix=share * mix,
        behaviour=share * behaviour,
        unsupported=unsupported,
        intervals={
            "mix": _interval(share * mix, share * mix_error),
            "behaviour": _interval(share * behaviour, share * behaviour_error),
        },
    )


def _mix(baseline: Baseline, window: Bucket, supported: int, known: int) -> tuple[float, float]:
    reference = baseline.reference
    change = window.total("expected") / supported - reference.total("expected") / known
    dispersion = float(baseline.overdispersion["response"][RESPONSE_SCORES.index("reward")])
    variances = [
        max(bucket.total("expected_sq") / size - (bucket.total("expected") / size) ** 2, 0.0)
        for bucket, size in ((window, supported), (reference, known))
    ]
    return change, float(np.sqrt(dispersion * (variances[0] / supported + variances[1] / known)))


def _interval(value: float, error: float) -> Interval:
    return (value - 1.96 * error, value + 1.96 * error)
