"""Offline verdicts name the most unusual single exchanges, with the reason and a p-value that can be believed."""

from __future__ import annotations

import numpy as np

from monitor.baseline import Baseline
from monitor.contract import Tier, Verdict
from monitor.offline import anomalous
from monitor.offline.anomalous import most_unusual, with_anomalies
from tests.monitor.synthetic import World


def test_the_planted_ones_lead(reference: Baseline):
    """Rewards far too low among two hundred exchanges are the first that are named, wherever they are."""
    stream = World().make(200, seed=8)
    reward = stream.reward.copy()
    reward[[5, 150]] = -4.0
    found = most_unusual(reference, stream._replace(reward=reward))
    assert {a.id for a in found[:2]} == {stream.exchanges[5].id, stream.exchanges[150].id}
    assert "below" in found[0].reasons[0]
    assert [a.p_value for a in found] == sorted(a.p_value for a in found)
    assert found[0].prompt == stream.exchanges[150 if found[0].id.endswith("150") else 5].prompt


def test_pieces_make_no_difference(reference: Baseline, monkeypatch):
    """A long stream is judged piece by piece with the same outcome."""
    stream = World().make(300, seed=9)
    whole = most_unusual(reference, stream)
    monkeypatch.setattr(anomalous, "_CHUNK", 37)
    assert most_unusual(reference, stream) == whole


def test_usual_ones_are_not_named(reference: Baseline):
    """Among exchanges like the baseline's, only those rarer than one in twenty are."""
    unusual = [most_unusual(reference, World().make(10, seed=seed)) for seed in range(20)]
    assert np.mean([len(found) for found in unusual]) < 1.5
    assert all(a.p_value <= 0.05 for found in unusual for a in found)


def test_a_verdict_carries_them(reference: Baseline):
    """Nothing else of the verdict changes."""
    verdict = Verdict(route="r", arm="a", tier=Tier.OK, time=1.0)
    stream = World().make(200, seed=8)
    carried = with_anomalies(verdict, reference, stream)
    assert carried.anomalies == most_unusual(reference, stream)
    assert carried.tier is Tier.OK
