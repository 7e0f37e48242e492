"""What is kept while a baseline is learnt."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from monitor.baseline.stretches import kept_stretches
from monitor.contract.config import BaselineConfig
from monitor.scorer.fake import FakeScorer
from monitor.service.folding import make_work
from monitor.service.learning import learn
from monitor.service.scoring import score_exchanges
from monitor.service.spreading import overfull, spread
from monitor.store import Database
from monitor.store.lessons import Lessons
from monitor.store.packed import unpack

WANTED = 200
HOUR = 3600.0


def bring(store, exchanges, batch_id):
    """Commit exchanges of a route without a baseline."""
    work = make_work(score_exchanges(FakeScorer(), exchanges, 64), {})
    store.ledger.commit(work._replace(bus="b", batch_ids=[batch_id], lease_until=10.0), lambda: 1.0)


def at(exchanges, hour):
    """Return exchanges as of an hour, a minute after each other."""
    return [
        msgspec.structs.replace(x, time=HOUR * hour + 60.0 * i, id=f"{hour}-{x.arm}-{i}")
        for i, x in enumerate(exchanges)
    ]


def kept(store):
    """Return all exchanges that are kept, in order."""
    return [x for stored in store.lessons.of("default") for x in unpack(stored.lesson.body).exchanges]


def bring_day(store, traffic, hours=24, each=40):
    """Bring a day in which every hour brings the same, with failures and a candidate's among them."""
    for hour in range(hours):
        mine = [*traffic(each, seed=hour), *traffic(3, seed=hour, arm="candidate")]
        failed = msgspec.structs.replace(mine[0], status=500)
        bring(store, at([*mine, failed], hour + 1), hour + 1)
        if overfull(store.lessons.learnt()["default"].scored, WANTED):
            spread(store, "default", WANTED)


def test_nothing_is_let_go_before_there_is_too_much(store, traffic):
    """And what has been cut stays in the order it came."""
    bring(store, at(traffic(150), 1), 1)
    before = kept(store)
    assert not overfull(150, WANTED)
    spread(store, "default", WANTED)
    assert kept(store) == before
    assert store.lessons.learnt()["default"].scored == 150
    spread(store, "nobody", WANTED)


def test_a_day_is_kept_evenly_and_bounded(store, traffic):
    """As many as wanted, of every hour, the first and the last among them; shares of failures stay what they are."""
    bring_day(store, traffic)
    spread(store, "default", WANTED)
    learnt = store.lessons.learnt()["default"]
    assert WANTED <= learnt.scored < WANTED + 2
    assert learnt.hours > 23.0
    left = kept(store)
    assert sorted(x.time for x in left) == [x.time for x in left]
    hours = np.bincount([int(x.time // HOUR) for x in left if x.arm == "control"], minlength=25)[1:]
    assert hours.min() >= 4
    assert hours.max() <= 14
    assert len(left) < 1.3 * WANTED


def test_all_that_is_kept_is_learnt(store, traffic):
    """A baseline that was to cover a time is made of all of it; only other arms are folded."""
    bring_day(store, traffic)
    spread(store, "default", WANTED)
    control = sum(x.arm == "control" for x in kept(store))
    settings = BaselineConfig(size=WANTED, span_hours=23.0, clusters=4)
    baseline = learn(store, "default", settings, now=5.0)
    assert baseline is not None
    assert baseline.size == control
    assert {x.arm for x in kept(store)} <= {"candidate"}


class Overtaken(Lessons):
    """Lessons of a worker that another one overtakes: it does its part right after the first look."""

    meanwhile: Callable[[], None] = staticmethod(lambda: None)

    def heads(self, route):
        """Look, and be overtaken."""
        found = super().heads(route)
        self.meanwhile()
        return found


def overtaken(store, meanwhile):
    """Make the store that of a worker whom another overtakes, on the same file."""
    store.lessons = Overtaken(Database(store.database.path))
    store.lessons.meanwhile = meanwhile


def test_what_another_worker_brings_meanwhile_is_kept_once(store, traffic):
    """Lessons that come between the two looks at the file are neither doubled nor lost."""
    bring(store, at(traffic(300), 1), 1)
    overtaken(store, lambda: bring(store, at(traffic(20), 7), 2))
    spread(store, "default", WANTED)
    ids = [x.id for x in kept(store)]
    assert len(ids) == len(set(ids))
    assert sum(x.time >= 7 * HOUR for x in kept(store)) == 20


@pytest.mark.parametrize("often", [1, 5])
def test_how_often_it_is_done_changes_little(store, traffic, often):
    """Stretches are kept or let go whole, wherever lessons begin."""
    for hour in range(12):
        bring(store, at(traffic(40, seed=hour), hour + 1), hour + 1)
        if hour % often == 0:
            spread(store, "default", WANTED)
    spread(store, "default", WANTED)
    numbers = [head.stretch for head in store.lessons.heads("default")]
    n = 12 * 40 // 2
    assert set(numbers) == kept_stretches(dict.fromkeys(range(n), 2), WANTED)
