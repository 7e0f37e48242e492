"""What routes are compared with, and what stands in the way."""

from __future__ import annotations

from monitor.service.references import Reference, References, obstacle


def test_the_active_baseline_is_read_once(store, baseline):
    """The same object is given until another baseline is chosen."""
    references = References(store)
    assert references.now() == {}
    store.baselines.add(baseline, "test")
    first = references.now()["default"]
    assert first.baseline is not None
    assert references.now()["default"].baseline is first.baseline
    assert obstacle(first, "fake-16") is None
    assert obstacle(first, None) is None


def test_another_scorer_is_an_obstacle(baseline):
    """The sentence names both scorers and what to do."""
    why = obstacle(Reference(baseline.id, baseline), "other")
    assert why is not None
    for part in ("fake-16", "other", "driftgate baseline create"):
        assert part in why


def test_a_damaged_baseline_is_an_obstacle(store, baseline):
    """A baseline that cannot be read makes its route blind, not the monitor fail."""
    store.baselines.add(baseline, "test")
    store.database.execute("UPDATE baselines SET state = x'00ff'")
    why = obstacle(References(store).now()["default"], "fake-16")
    assert why is not None
    assert "cannot be read" in why
