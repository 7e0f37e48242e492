"""The bets on shares: rare faults that become frequent are noticed, frequent ones that stay so are not.

What holds for all evidence (quiet, quick, signed, on budget) is in `laws/test_evidence_laws.py`.
"""

from __future__ import annotations

import numpy as np
import pytest

from monitor.baseline import Baseline
from monitor.evidence.edetector import Detector, Evidence
from monitor.sketch.bucket import Bucket

COUNTED = {"exchanges": 10, "prompts": 10, "answers": 10}


def minute(baseline: Baseline, **counts: int) -> Bucket:
    """Make a bucket of ten exchanges with these counts and scores of zero."""
    bucket = Bucket.empty(baseline.id, baseline.shape)
    for name, count in {**COUNTED, **counts}.items():
        bucket.layout.add(bucket.vector, name, count)
    return bucket


def after(detector: Detector, bucket: Bucket, minutes: int) -> Evidence:
    """Return the evidence after so many equal minutes."""
    evidence = detector.start()
    for m in range(minutes):
        evidence = detector.advance(evidence, bucket, minutes=1.0, now=60.0 * m)
    return evidence


@pytest.mark.parametrize("name", ["refused", "truncated", "empty", "incomplete", "errors"])
def test_a_fault_that_becomes_frequent_alarms(reference: Baseline, name: str):
    """Three in ten where there were none: within eight minutes, as a matter of quality."""
    detector = Detector(reference, 1.0)
    evidence = after(detector, minute(reference, **{name: 3}), 8)
    found = detector.findings(evidence)
    assert found.drifted
    assert found.behaviour
    assert found.service
    assert not found.traffic
    assert detector.processes[int(np.argmax(evidence.log_wealth))].name == name


def test_novel_prompts_alarm_as_traffic(reference: Baseline):
    """Six of ten prompts beyond the 98 % distance are news about the askers."""
    detector = Detector(reference, 1.0)
    evidence = after(detector, minute(reference, novel_90=6, novel_98=6), 6)
    found = detector.findings(evidence)
    assert (found.drifted, found.traffic, found.behaviour) == (True, True, False)
    novelty, quality = (
        detector.family_wealth(evidence, frozenset({name})) for name in ("novelty", "quality")
    )
    assert novelty > quality


def test_the_usual_share_of_novel_prompts_is_no_news(reference: Baseline):
    """One of ten beyond the 90 % distance is what that means."""
    assert not after(Detector(reference, 1.0), minute(reference, novel_90=1), 600).alarmed


def test_onset_is_when_the_wealth_began_to_rise(reference: Baseline):
    """The claimed beginning is the first bad minute, not the alarm."""
    detector = Detector(reference, 1.0)
    evidence = after(detector, minute(reference), 30)
    for m in range(30, 40):
        evidence = detector.advance(evidence, minute(reference, errors=4), minutes=1.0, now=60.0 * m)
    assert evidence.alarmed
    assert detector.findings(evidence).since == pytest.approx(30 * 60.0, abs=60.0)


def test_without_an_alarm_nothing_is_found(reference: Baseline):
    """Wealth below the bar is no finding, in no family, and has no onset."""
    detector = Detector(reference, 1.0)
    evidence = after(detector, minute(reference), 5)
    found = detector.findings(evidence)
    assert not any((found.drifted, found.traffic, found.behaviour, found.service))
    assert found.since is None
    assert np.isfinite(evidence.log_wealth).all()
