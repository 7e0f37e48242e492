"""Anchors are kept with their baseline, and the last look with them."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.evidence.rescoring import Noise, choose_anchors, compare_anchors
from monitor.store.anchors import Look


@pytest.fixture
def anchors(scored, traffic):
    """Give anchors of some exchanges."""
    return choose_anchors(scored(traffic(100)))


def test_anchors_and_looks_come_back(store, baseline, anchors):
    """A look is listed where its baseline is the active one."""
    key = (baseline.route, baseline.id)
    assert store.anchors.get(*key) is None
    assert store.anchors.look(*key) is None
    store.anchors.put(*key, anchors)
    assert store.anchors.get(*key).prompts == anchors.prompts
    assert store.anchors.look(*key) is None
    nan = np.full(len(anchors.reward), np.nan, np.float32)
    found = compare_anchors(
        anchors, anchors.prompt.astype(np.float32), anchors.response.astype(np.float32), nan, Noise()
    )
    look = Look(5.0, Noise(0.01, 0.02), found)
    store.anchors.save_look(*key, look)
    back = store.anchors.look(*key)
    assert (back.at, back.noise, back.found.reward_changed) == (5.0, look.noise, True)
    assert store.anchors.looks() == []
    store.baselines.add(baseline, "test")
    (listed,) = store.anchors.looks()
    assert (listed.route, listed.baseline, listed.look.at) == (*key, 5.0)


def test_damaged_anchors_are_none(store, baseline, anchors):
    """A file that was written by something else does not stop the monitor."""
    key = (baseline.route, baseline.id)
    store.anchors.put(*key, anchors)
    store.database.execute("UPDATE anchors SET body = ?, look = ?", (b"x", b"y"))
    assert store.anchors.get(*key) is None
    assert store.anchors.look(*key) is None
