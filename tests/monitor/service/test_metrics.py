"""Metrics from a status."""

from __future__ import annotations

import numpy as np
from prometheus_client import CollectorRegistry

from monitor.bus.memory import MemoryBus
from monitor.canary.answers import WATCHED
from monitor.canary.course import Course, Recent, Spend
from monitor.contract.config import BaselineConfig, Canaries, Config
from monitor.service.health import Health
from monitor.service.metrics import Metrics
from monitor.service.status import StatusReader
from monitor.store import CounterKey, Lesson, Work
from monitor.store.lessons import add_lesson


def test_counters_by_arm_and_reason(store):
    """Every exchange is in one series, by what became of it."""
    counts = {CounterKey("r", "control", "scored"): 7, CounterKey("r", "control", "skipped.error"): 2}
    store.ledger.commit(Work("b", [1], 1e9, {}, {}, [], counts), lambda: 1.0)
    registry = CollectorRegistry()
    health = Health(started_at=0.0, evaluation_s=0.01, faults=3)
    bus = MemoryBus()
    bus.report_dropped("proxy", 4, now=1.0)
    registry.register(Metrics(StatusReader(Config(), store, bus, health, lambda: 5.0)))
    key = {"route": "r", "arm": "control"}
    assert registry.get_sample_value("driftgate_monitor_scored_total", key) == 7
    assert registry.get_sample_value("driftgate_monitor_skipped_total", {**key, "reason": "error"}) == 2
    assert registry.get_sample_value("driftgate_monitor_faults_total") == 3
    assert registry.get_sample_value("driftgate_monitor_evaluation_seconds") == 0.01
    assert registry.get_sample_value("driftgate_monitor_lag_seconds") == 0
    assert registry.get_sample_value("driftgate_bus_dropped_total") == 4
    assert registry.get_sample_value("driftgate_monitor_lost_ratio") == 1


def test_learning_is_shown_by_what_it_has_and_needs(store):
    """Exchanges and seconds, as long as there is no baseline."""
    add_lesson(store.database, Lesson("r", "s", 70, b"", 100.0, 1900.0))
    registry = CollectorRegistry()
    config = Config(baseline=BaselineConfig(size=200, span_hours=1.0))
    health = Health(started_at=0.0)
    registry.register(Metrics(StatusReader(config, store, MemoryBus(), health, lambda: 5.0)))
    found = {
        (name, part): registry.get_sample_value(f"driftgate_learning_{name}", {"route": "r", "part": part})
        for name in ("exchanges", "seconds")
        for part in ("have", "need")
    }
    assert list(found.values()) == [70, 200, 1800.0, 3600.0]


def test_canaries_are_counted_and_how_far_they_have_moved(store):
    """By model and route; nothing of a model whose reference is not made."""
    recent = [
        Recent(t, np.full(len(WATCHED), t, "<f4").tobytes(), 0.0, different=t > 1.0) for t in (1.0, 2.0)
    ]
    spend = Spend(asked=9, answered=7, failed=2)
    store.canaries.change("m", lambda _: Course("k", recent=tuple(recent), spend=spend))
    config = Config(canaries=Canaries(per_hour=60.0, models=("m", "new"), prompts=("p",)))
    registry = CollectorRegistry()
    health = Health(started_at=0.0)
    registry.register(Metrics(StatusReader(config, store, MemoryBus(), health, lambda: 5.0)))
    key = {"model": "m", "route": "default"}
    told = [
        registry.get_sample_value(f"driftgate_canaries_{name}", key)
        for name in ("asked_total", "answered_total", "failed_total", "alarmed", "shift", "different_ratio")
    ]
    assert told == [9, 7, 2, 0, 1.5, 0.5]
    other = {"model": "new", "route": "default"}
    assert registry.get_sample_value("driftgate_canaries_asked_total", other) == 0
    assert registry.get_sample_value("driftgate_canaries_shift", other) is None
