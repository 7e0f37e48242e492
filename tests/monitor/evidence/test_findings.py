"""Findings say where evidence lies; nothing found is the default."""

from __future__ import annotations

from monitor.evidence.findings import NOTHING, Findings


def test_nothing_is_nothing():
    """By default no family shows a change and no onset is claimed."""
    assert Findings() == NOTHING
    assert not any((NOTHING.drifted, NOTHING.traffic, NOTHING.behaviour, NOTHING.service))
    assert NOTHING.since is None
