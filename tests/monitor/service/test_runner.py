"""The loop: learning, judging, trouble and recovery."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from monitor.bus.sqlite import SqliteBus
from monitor.contract import Tier
from monitor.contract.config import BaselineConfig, Config, Monitor, Scoring
from monitor.scorer.fake import FakeScorer
from monitor.service.health import Health
from monitor.service.learning import Source
from monitor.service.pipeline import Parts
from monitor.service.runner import Runner
from monitor.store import open_store


class Running:
    """A loop on a thread of its own, over files."""

    def __init__(self, folder, *, sources=(), scorer=None, size=200, span_hours=0.0) -> None:
        self.config = Config(
            state_dir=str(folder),
            baseline=BaselineConfig(size=size, span_hours=span_hours, clusters=4),
            monitor=Monitor(evaluate_every_s=0.1, blind_after_s=1.0),
            scoring=Scoring(batch=64, deadline_s=1.0),
        )
        self.bus = SqliteBus(self.config.bus_path)
        self.store = open_store(self.config.store_path)
        self.scorer = scorer or FakeScorer()
        self.health = Health(started_at=time.time())
        own = (SqliteBus(self.config.bus_path), open_store(self.config.store_path))
        self._own = own
        self.runner = Runner("r", Parts(self.config, *own, self.scorer), self.health, sources)
        self._thread = threading.Thread(target=self.runner.run)
        self._thread.start()

    def publish(self, exchanges):
        """Put exchanges onto the bus, as if they had just been served."""
        for start in range(0, len(exchanges), 32):
            self.bus.publish("p", exchanges[start : start + 32], time.time())

    def tier(self):
        """Return the published tier of the control arm."""
        return next((v.tier for v in self.bus.verdicts()[1] if v.arm == "control"), None)

    def until(self, condition: Callable[[], bool]):
        """Wait until something is so, ten seconds at most."""
        deadline = time.monotonic() + 10.0
        while not condition():
            assert time.monotonic() < deadline, (self.health, self.bus.stats(), self.bus.verdicts())
            time.sleep(0.02)

    def stop(self):
        """Stop the loop in an orderly way."""
        self.runner.stop.set()
        self._thread.join(10.0)
        assert not self._thread.is_alive()
        for part in (*self._own, self.bus, self.store):
            part.close()

    def scored(self):
        """Count what the ledger says was scored."""
        return sum(n for key, n in self.store.ledger.counters().items() if key.name == "scored")


@pytest.fixture
def running(tmp_path):
    """Give a loop over empty files."""
    running = Running(tmp_path)
    yield running
    running.stop()


def test_learning_then_ok_then_critical(running, traffic):
    """The whole story of a route without any configuration."""
    now = time.time()
    running.until(lambda: running.tier() is Tier.LEARNING)
    running.publish(traffic(100, time=now))
    running.until(lambda: any(v.progress and v.progress.have == 100 for v in running.bus.verdicts()[1]))
    running.publish(traffic(250, seed=1, time=now))
    running.until(lambda: running.tier() is Tier.OK)
    running.publish(traffic(500, seed=2, time=now, bad=True))
    running.until(lambda: running.tier() is Tier.CRITICAL)
    running.until(lambda: running.bus.stats().waiting == 0)
    assert running.scored() == 850 == running.bus.stats().acknowledged
    assert running.health.faults == 0


def test_blind_while_the_scorer_is_down_and_then_on(running, traffic):
    """Exchanges wait, the verdict says so once the lag is too long, and nothing is missing afterwards."""
    now = time.time()
    running.publish(traffic(400, time=now))
    running.until(lambda: running.tier() is Tier.OK)
    running.scorer.down = True
    running.publish(traffic(300, seed=1, time=now))
    running.until(lambda: running.tier() is Tier.BLIND)
    assert "scorer unavailable" in running.health.trouble
    (verdict,) = running.bus.verdicts()[1]
    assert "scorer unavailable" in verdict.headline
    assert running.scored() + running.bus.stats().waiting == 700
    running.scorer.down = False
    running.until(lambda: running.tier() is Tier.OK)
    running.until(lambda: running.bus.stats().waiting == 0)
    assert running.scored() == 700
    assert running.health.trouble == ""


def test_a_baseline_from_a_file_comes_first(tmp_path, traffic):
    """With reference exchanges given there is nothing to learn, however long the scorer takes to come up."""
    scorer = FakeScorer()
    scorer.down = True
    running = Running(tmp_path, sources=[Source("default", traffic(300), "file x")], scorer=scorer)
    running.publish(traffic(200, seed=1, time=time.time()))
    running.until(lambda: running.health.trouble != "")
    assert running.store.baselines.listed() == []
    scorer.down = False
    running.until(lambda: running.tier() is Tier.OK)
    assert [row.origin for row in running.store.baselines.listed()] == ["file x"]
    running.stop()


def test_a_baseline_that_cannot_be_made_ends_the_monitor(tmp_path, traffic):
    """Too few reference exchanges are for a person to put right."""
    running = Running(tmp_path, sources=[Source("default", traffic(3), "file x")])
    running.until(lambda: running.health.fatal != "")
    assert "from file x: a baseline needs at least" in running.health.fatal
    running.stop()


def test_two_workers_share_bus_and_store(tmp_path, traffic):
    """Two loops at once fold every exchange once and learn one baseline."""
    running = [Running(tmp_path), Running(tmp_path)]
    now = time.time()
    for seed in range(10):
        running[seed % 2].publish(traffic(200, seed=seed, time=now))
    running[0].until(lambda: running[0].bus.stats().waiting == 0 and running[0].tier() is Tier.OK)
    (listed,) = running[0].store.baselines.listed()
    running[0].until(lambda: not running[0].store.lessons.learnt())
    window = running[0].store.arms.window(("default", "control"), listed.id, 0, 10**9)
    assert window is not None
    assert window.n + listed.size == 2000 == running[0].scored()
    for one in running:
        one.stop()


def test_a_fault_of_ours_does_not_end_the_loop(running, traffic, monkeypatch):
    """An error nobody foresaw is counted and logged, and the loop goes on."""
    broken = [ZeroDivisionError("oh")]

    def evaluate(_):
        raise broken[0]

    monkeypatch.setattr(running.runner._evaluator, "evaluate", evaluate)
    running.until(lambda: running.health.faults >= 2)
    assert running.health.trouble == "ZeroDivisionError, a fault of ours; the log says where"
    running.publish(traffic(100, time=time.time()))
    running.until(lambda: running.bus.stats().waiting == 0)
    monkeypatch.undo()
    running.until(lambda: running.health.trouble == "")


def test_a_thin_baseline_is_tried_again_with_more(tmp_path, traffic):
    """A size below what any baseline needs does not fail for ever: it waits for twice as many."""
    running = Running(tmp_path, size=5)
    running.publish(traffic(6, time=time.time()))
    running.until(lambda: running.bus.stats().waiting == 0)
    assert running.tier() is Tier.LEARNING
    running.publish(traffic(400, seed=1, time=time.time()))
    running.until(lambda: running.bus.stats().waiting == 0)
    assert running.health.faults == 0
    running.stop()
