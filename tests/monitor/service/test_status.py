"""What the monitor tells about itself."""

from __future__ import annotations

import pytest

from monitor.bus.memory import MemoryBus
from monitor.contract import Tier, Verdict
from monitor.contract.config import BaselineConfig, Config
from monitor.service.health import Health
from monitor.service.status import StatusReader
from monitor.store import CounterKey, Lesson, Work


@pytest.fixture
def bus(traffic):
    """Give a bus with two verdicts and exchanges that wait."""
    bus = MemoryBus()
    bus.publish("p", traffic(4), now=90.0)
    bus.put_verdicts(
        [Verdict(route=route, arm="control", tier=Tier.OK, time=1.0) for route in ("default", "other")]
    )
    return bus


@pytest.fixture
def reader(store, bus):
    """Give a reader at the epoch second 100."""
    config = Config(baseline=BaselineConfig(size=500, span_hours=24.0))
    return StatusReader(config, store, bus, Health(started_at=1.0, scorer="s"), lambda: 100.0)


def test_status_says_everything(reader, store):
    """Counts by arm and reason, lag, learning and verdicts, in one document."""
    counts = {
        CounterKey("default", "control", "scored"): 7,
        CounterKey("default", "control", "skipped.error"): 2,
        CounterKey("default", "candidate", "skipped.error"): 1,
    }
    store.ledger.commit(
        Work("b", [1], 1e9, {"default": None}, {}, [Lesson("default", "s", 7, b"", 0.0, 900.0)], counts),
        lambda: 1.0,
    )
    status = reader.status()
    assert (status.scored, status.skipped) == (7, {"error": 3})
    assert [(c.arm, c.scored, c.skipped) for c in status.counts] == [
        ("candidate", 0, {"error": 1}),
        ("control", 7, {"error": 2}),
    ]
    assert (status.lag_s, status.bus["waiting"]) == (10.0, 4)
    (row,) = status.learning
    assert (row.route, row.have, row.need, row.hours, row.need_hours) == ("default", 7, 500, 0.25, 24.0)
    assert len(status.verdicts) == 2


def test_status_shows_what_the_window_misses(reader, bus):
    """Beside all that was ever dropped, the losses of the window that is judged."""
    bus.report_dropped("proxy", 1, now=95.0)
    status = reader.status()
    assert (status.bus["dropped"], status.losses.offered, status.losses.lost) == (1, 5, 1)
    assert (status.losses.share, status.losses.window_hours) == (0.2, 1.0)


def test_verdicts_of_one_route(reader):
    """A route's verdicts are its own."""
    assert [v.route for v in reader.verdicts("other")] == ["other"]
    assert reader.verdicts("nobody") == []
    assert len(reader.verdicts()) == 2


def test_a_learnt_route_is_not_learning(reader, store, baseline):
    """Left-over lessons of a route with a baseline are no progress."""
    store.database.execute(
        "INSERT INTO lessons (route, scorer, scored, body) VALUES ('default', 's', 3, x'00')"
    )
    store.baselines.add(baseline, "test")
    assert reader.status().learning == []
    assert [row["id"] for row in reader.status().baselines] == [baseline.id]
