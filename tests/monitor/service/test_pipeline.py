"""The pipeline: exactly once, whoever fails when."""

from __future__ import annotations

import pytest

from monitor.bus import BusError
from monitor.bus.bus_file import BusReplaced
from monitor.bus.memory import MemoryBus
from monitor.bus.sqlite import SqliteBus
from monitor.contract.config import Config, Scoring
from monitor.scorer import ScorerUnavailable
from monitor.scorer.fake import FakeScorer
from monitor.service.pipeline import Parts, Pipeline
from monitor.service.references import References
from tests.faults.harm import delete_all


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


class Works:
    """A pipeline over a bus in memory, with everything it works with."""

    def __init__(self, store, baseline) -> None:
        store.baselines.add(baseline, "test")
        self.bus, self.store, self.scorer, self.clock = MemoryBus(), store, FakeScorer(), Clock()
        self.baseline = baseline
        self.config = Config(scoring=Scoring(batch=20, deadline_s=1.0))
        self.pipeline = self.another("first")

    def another(self, name):
        """Make one more pipeline over the same bus and store."""
        parts = Parts(self.config, self.bus, self.store, self.scorer, self.clock)
        return Pipeline(name, parts, References(self.store))

    def run(self):
        """Take turns until there is nothing to do; return the exchanges done with."""
        done, turn = 0, 0
        while turn is not None:
            turn = self.pipeline.turn()
            done += turn or 0
        return done

    def folded(self):
        """Count the exchanges in the sketches."""
        window = self.store.arms.window(("default", "control"), self.baseline.id, 0, 10**6)
        return 0 if window is None else window.n

    def counted(self):
        """Give the counters by name."""
        return {key.name: n for key, n in self.store.ledger.counters().items()}


@pytest.fixture
def works(store, baseline):
    """Give a pipeline at work."""
    works = Works(store, baseline)
    yield works
    works.pipeline.close()


def test_all_that_is_published_is_folded_and_acknowledged(works, traffic):
    """Lots of several batches go through until nothing waits."""
    for seed in range(7):
        works.bus.publish("p", traffic(15, seed=seed), now=1.0)
    assert works.run() == 105
    assert works.folded() == 105
    assert works.counted() == {"scored": 105}
    assert works.bus.stats()[:2] == (105, 105)
    assert works.pipeline.turn() is None


def test_with_the_scorer_down_everything_waits(works, traffic):
    """Nothing is lost, nothing stays leased, and afterwards everything is scored once."""
    for seed in range(4):
        works.bus.publish("p", traffic(15, seed=seed), now=1.0)
    works.scorer.down = True
    for _ in range(3):
        with pytest.raises(ScorerUnavailable):
            works.run()
    assert works.folded() == 0
    assert len(works.bus.fetch("other", 1000, works.clock())) == 4
    works.bus.release("other")
    works.scorer.down = False
    assert works.run() == 60
    assert works.folded() == 60


def test_a_batch_that_was_committed_and_not_acknowledged_is_not_folded_again(works, traffic):
    """A reader that comes after a crash between commit and acknowledgement only acknowledges."""
    works.bus.publish("p", traffic(15), now=1.0)

    def fail(_):
        raise BusError("gone")

    works.bus.ack, ack = fail, works.bus.ack
    works.pipeline._settled = True
    with pytest.raises(BusError):
        works.run()
    assert works.folded() == 15
    assert works.bus.stats().acknowledged == 0
    works.bus.ack = ack
    works.pipeline = works.another("second")
    assert works.run() == 0
    assert works.folded() == 15
    assert works.bus.stats().acknowledged == 15


def test_a_reader_that_was_too_slow_leaves_its_batches_to_others(works, traffic):
    """After its lease another reader folds the batch; the slow one must not fold it as well."""
    works.bus.publish("p", traffic(15), now=1.0)
    assert works.pipeline.turn() == 0  # leased and being scored
    works.clock.now += 100.0
    slow, works.pipeline = works.pipeline, works.another("quick")
    assert works.run() == 15
    slow.turn()
    slow.close()
    assert works.folded() == 15
    assert works.counted() == {"scored": 15}


def test_a_slow_reader_does_not_acknowledge_what_nobody_folded(works, traffic):
    """When the lease runs out before the commit the batch stays on the bus for whoever comes."""
    works.bus.publish("p", traffic(15), now=1.0)
    assert works.pipeline.turn() == 0
    works.clock.now += 100.0
    works.pipeline._finish(works.pipeline._ahead)
    works.pipeline._ahead = None
    assert works.folded() == 0
    assert works.bus.stats().waiting == 15
    assert works.run() == 15
    assert works.folded() == 15


def test_a_baseline_chosen_meanwhile_is_the_one_folded_against(works, traffic, baseline, monkeypatch):
    """Work folded against the old choice is refused by the ledger and folded again."""
    works.bus.publish("p", traffic(15), now=1.0)
    stale = works.pipeline._references.now()
    answers = [{}, stale]
    monkeypatch.setattr(works.pipeline._references, "now", lambda: answers.pop(0))
    assert works.run() == 15
    assert works.folded() == 15
    assert works.store.lessons.learnt() == {}
    assert answers == []


def test_a_poisonous_batch_is_set_aside_and_the_others_go_on(works, traffic):
    """A batch that fails for reasons nobody foresaw is tried alone, then counted and left."""
    poison = traffic(1, seed=99)[0].prompt

    class Choking(FakeScorer):
        def score(self, prompts, responses):
            if poison in prompts:
                raise ZeroDivisionError
            return super().score(prompts, responses)

    works.scorer = Choking()
    works.pipeline = works.another("second")
    for seed in (1, 99, 2):
        works.bus.publish("p", traffic(10, seed=seed), now=1.0)
    faults = 0
    for turn in range(20):
        works.bus.publish("p", traffic(10, seed=100 + turn), now=1.0)
        try:
            works.run()
        except ZeroDivisionError:
            faults += 1
    assert faults == 3
    assert works.counted() == {"scored": 220, "skipped.fault": 10}
    assert works.bus.stats().acknowledged == 230
    assert works.folded() == 220
    assert not works.pipeline._failures


def test_draining_finishes_what_is_in_hand(works, traffic):
    """An orderly stop folds what is being scored and leases nothing any more."""
    for seed in range(8):
        works.bus.publish("p", traffic(15, seed=seed), now=1.0)
    works.pipeline.turn()
    works.pipeline.drain()
    folded = works.folded()
    assert folded == 30
    assert sum(len(b.exchanges) for b in works.bus.fetch("other", 1000, works.clock())) == 120 - folded


def test_a_bus_file_that_is_removed_takes_its_batches_along(works, traffic, tmp_path):
    """A lot in work is dropped, because its ids mean others now; what comes on the new bus is scored once each."""
    path = tmp_path / "bus.sqlite"
    works.bus = SqliteBus(path)
    works.pipeline.close()
    works.pipeline = works.another("first")
    producer = SqliteBus(path)
    for seed in range(3):
        producer.publish("p", traffic(15, seed=seed), now=1.0)
    assert works.pipeline.turn() == 0
    delete_all(path)
    for seed in range(3, 5):
        producer.publish("p", traffic(15, seed=seed), now=1000.0)
    # It is the step beside, that judges, which hears of it.
    with pytest.raises(BusReplaced):
        works.bus.put_verdicts([])
    with pytest.raises(BusError, match="that these batches came from is gone"):
        works.pipeline.turn()
    assert works.run() == 30
    assert (works.folded(), works.counted()) == (30, {"scored": 30})
    assert producer.stats()[:2] == (30, 30)
    assert producer.losses(0.0).lost == 45
    producer.close()
    works.bus.close()
