"""The ledger: a batch is in the sketches exactly once, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.sketch.fold import fold
from monitor.store import CounterKey, Lesson, Outdated, Work, open_store
from monitor.store.lessons import Learnt

KEY = ("default", "control")


def work(baseline, rows, *, ids=(1,), until=100.0, assumed=...):
    """Make the work of some scored exchanges of the default route under its baseline."""
    n = len(rows.exchanges)
    return Work(
        bus="b",
        batch_ids=ids,
        lease_until=until,
        assumed={"default": baseline.id} if assumed is ... else assumed,
        deltas=fold(baseline, rows),
        lessons=[],
        counts={CounterKey(*KEY, "scored"): n},
    )


def window_size(store, baseline):
    """Count the exchanges in all sketches."""
    window = store.arms.window(KEY, baseline.id, 0, 10**6)
    return 0 if window is None else window.n


@pytest.fixture
def active(store, baseline):
    """Give a store whose default route has a baseline."""
    store.baselines.add(baseline, "test")
    return store


def test_committed_work_is_there(active, baseline, traffic, scored):
    """Sketches, counters and ids are written together."""
    active.ledger.commit(work(baseline, scored(traffic(10)), ids=(1, 2)), lambda: 5.0)
    assert window_size(active, baseline) == 10
    assert active.ledger.counters() == {CounterKey(*KEY, "scored"): 10}
    assert active.ledger.recorded("b", [1, 2, 3]) == {1, 2}
    assert active.ledger.all_recorded("b") == [1, 2]


def test_the_same_batch_is_refused(active, baseline, traffic, scored):
    """Work that holds a batch already in the ledger leaves no trace; another bus's batch 1 is another batch."""
    rows = scored(traffic(10))
    active.ledger.commit(work(baseline, rows, ids=(1,)), lambda: 5.0)
    with pytest.raises(Outdated, match="faster"):
        active.ledger.commit(work(baseline, rows, ids=(2, 1)), lambda: 5.0)
    assert window_size(active, baseline) == 10
    assert active.ledger.recorded("b", [2]) == set()
    active.ledger.commit(work(baseline, rows, ids=(1,))._replace(bus="other"), lambda: 5.0)
    assert window_size(active, baseline) == 20


def test_a_lapsed_lease_is_refused(active, baseline, traffic, scored):
    """After the lease another reader may have the batch: nothing is written."""
    with pytest.raises(Outdated, match="lease"):
        active.ledger.commit(work(baseline, scored(traffic(10)), until=100.0), lambda: 100.0)
    assert window_size(active, baseline) == 0
    assert active.ledger.counters() == {}


def test_work_under_an_old_baseline_is_refused(active, baseline, traffic, scored):
    """What was folded before the baseline was chosen, or under another one, must be folded again."""
    for assumed in ({"default": None}, {"default": "other"}):
        with pytest.raises(Outdated, match="baseline"):
            active.ledger.commit(work(baseline, scored(traffic(3)), assumed=assumed), lambda: 5.0)
    assert window_size(active, baseline) == 0


def test_lessons_are_kept_with_their_batches(store, traffic):
    """A route without a baseline brings lessons in the same transaction."""
    lesson = Lesson("default", "fake-16", 3, b"body")
    counts = {CounterKey(*KEY, "scored"): 3}
    store.ledger.commit(Work("b", (1,), 100.0, {"default": None}, {}, [lesson], counts), lambda: 5.0)
    assert store.lessons.learnt() == {"default": Learnt(3, 0.0)}
    assert [arm[:2] for arm in store.arms.seen()] == [KEY]


def test_sweeping_replaces_lessons_by_sketches(active, baseline, traffic, scored):
    """Left-over lessons are folded once; whoever comes second changes nothing."""
    lesson = Lesson("default", "fake-16", 3, b"body")
    with active.database.writing():
        active.database.execute(
            "INSERT INTO lessons (route, scorer, scored, body) VALUES (?, ?, ?, ?)", lesson[:4]
        )
    (stored,) = active.lessons.of("default")
    deltas = fold(baseline, scored(traffic(3)))
    active.ledger.sweep("default", baseline.id, [stored.id], deltas)
    with pytest.raises(Outdated):
        active.ledger.sweep("default", baseline.id, [stored.id], deltas)
    assert window_size(active, baseline) == 3
    assert active.lessons.of("default") == []


def test_ids_are_forgotten_after_an_hour(active, baseline, traffic, scored):
    """The ledger stays small: a batch acknowledged long ago is not served any more."""
    active.ledger.commit(work(baseline, scored(traffic(1))), lambda: 5.0)
    active.ledger.forget(3000.0)
    assert active.ledger.all_recorded("b") == [1]
    active.ledger.forget(3606.0)
    assert active.ledger.all_recorded("b") == []


def test_one_worker_takes_a_turn(store, tmp_path: Path):
    """Of two workers one evaluates each time; a clock that was set back does not stop them."""
    other = open_store(tmp_path / "monitor.sqlite")
    assert store.ledger.take_turn("evaluate", 100.0, 5.0)
    assert not other.ledger.take_turn("evaluate", 102.0, 5.0)
    assert other.ledger.take_turn("evaluate", 105.0, 5.0)
    assert store.ledger.take_turn("evaluate", 50.0, 5.0)
    other.close()
