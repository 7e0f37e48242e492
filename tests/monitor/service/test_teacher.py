"""When routes learn."""

from __future__ import annotations

import msgspec
import pytest

from monitor.contract.config import BaselineConfig
from monitor.scorer.fake import FakeScorer
from monitor.service.folding import make_work
from monitor.service.references import References
from monitor.service.scoring import score_exchanges
from monitor.service.teacher import Teacher

HOUR = 3600.0


class School:
    """A store, its teacher and the hours that pass."""

    def __init__(self, store, traffic, **settings) -> None:
        self.store = store
        self._traffic = traffic
        self._hour = 0
        self.teacher = Teacher(store, BaselineConfig(size=200, clusters=4, **settings), References(store))

    def hour(self, n):
        """Bring n exchanges within the next hour, and look."""
        self._hour += 1
        exchanges = [
            msgspec.structs.replace(x, time=HOUR * self._hour + 20.0 * i)
            for i, x in enumerate(self._traffic(n, seed=self._hour))
        ]
        work = make_work(score_exchanges(FakeScorer(), exchanges, 64), References(self.store).now())
        work = work._replace(bus="b", batch_ids=[self._hour], lease_until=10.0)
        self.store.ledger.commit(work, lambda: 1.0)
        self.teacher.learn_when_due(HOUR * self._hour)
        return [row.size for row in self.store.baselines.listed()]


def test_without_a_span_the_first_exchanges_are_enough(store, traffic):
    """So many, and the next hour is judged."""
    school = School(store, traffic, span_hours=0.0)
    assert school.hour(150) == []
    assert school.hour(150) == [200]
    baseline = school.store.baselines.active()["default"]
    window = store.arms.window(("default", "control"), baseline, 0, 10**9)
    assert window is not None
    assert window.n == 100


def test_both_the_exchanges_and_the_span_are_waited_for(store, traffic):
    """Many exchanges in a short time are thinned, not learnt from; few in a long time are not enough."""
    school = School(store, traffic, span_hours=5.0)
    assert [school.hour(120) for _ in range(5)] == [[], [], [], [], []]
    assert store.lessons.learnt()["default"].scored < 220
    (size,) = school.hour(120)
    assert 200 <= size < 202
    assert store.lessons.learnt() == {}


def test_few_exchanges_in_a_long_time_are_waited_for(store, traffic):
    """The span alone makes no baseline."""
    school = School(store, traffic, span_hours=2.0)
    assert [school.hour(30) for _ in range(6)] == [[]] * 6
    (size,) = school.hour(30)
    assert 200 <= size < 202


def test_too_thin_a_route_is_tried_again_with_twice_as_many(store, traffic, monkeypatch):
    """What was kept is not thinned below what the next attempt needs."""
    school = School(store, traffic, span_hours=1.0)
    monkeypatch.setattr("monitor.baseline.fit.FEWEST", 300)
    assert [school.hour(150) for _ in range(3)] == [[], [], []]  # 300 are thinned to 200: too few
    assert store.lessons.learnt()["default"].scored == 350
    (size,) = school.hour(150)
    assert 400 <= size < 404


@pytest.mark.parametrize(
    ("settings", "hours"), [({}, 24.0), ({"size": 500}, 0.0), ({"span_hours": 7.0}, 7.0)]
)
def test_a_day_is_waited_for_unless_a_smaller_size_was_asked_for(settings, hours):
    """Who sets a size of less wants a verdict soon; who sets the span has it."""
    assert BaselineConfig(**settings).learning_hours == hours
