"""Which baselines there are and which one each route is compared with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.store import Lesson, Outdated
from monitor.store.arms import see


def lessons(store, n):
    """Put n lessons of one exchange each and return their ids."""
    rows = [("default", "fake-16", 1, b"%d" % i) for i in range(n)]
    store.database.execute_many("INSERT INTO lessons (route, scorer, scored, body) VALUES (?, ?, ?, ?)", rows)
    return [stored.id for stored in store.lessons.of("default")]


def test_the_last_one_added_is_active(store, baseline):
    """Adding a baseline makes its route use it; older ones stay and can be chosen again."""
    store.baselines.add(baseline, "file a")
    store.baselines.add(replace(baseline, id="second", created=2.0), "file b")
    assert [(row.id, row.origin, row.active) for row in store.baselines.listed()] == [
        (baseline.id, "file a", False),
        ("second", "file b", True),
    ]
    store.baselines.use("default", baseline.id)
    assert store.baselines.active() == {"default": baseline.id}
    assert {(row.seasonality, row.seasonality_why) for row in store.baselines.listed()} == {
        ("none", baseline.seasonality.why)
    }
    assert store.baselines.get("default", baseline.id).to_bytes() == baseline.to_bytes()


def test_what_is_not_there_cannot_be_chosen(store, baseline):
    """An unknown id, or one of another route, is a KeyError and changes nothing."""
    store.baselines.add(baseline, "test")
    for route, name in (("default", "x"), ("other", baseline.id)):
        with pytest.raises(KeyError):
            store.baselines.use(route, name)
        with pytest.raises(KeyError):
            store.baselines.get(route, name)
    assert store.baselines.active() == {"default": baseline.id}


def test_routes_are_apart(store, baseline):
    """Two routes may use equal baselines; choosing for one does not touch the other."""
    store.baselines.add(baseline, "test")
    store.baselines.add(replace(baseline, route="other"), "test")
    store.baselines.add(replace(baseline, id="second"), "test")
    assert store.baselines.active() == {"default": "second", "other": baseline.id}


def test_another_choice_clears_the_evidence(store, baseline):
    """Evidence gathered against something else is not kept; choosing the same again keeps it."""
    store.baselines.add(baseline, "test")
    see(store.database, "default", "control", 1.0)
    store.database.execute("UPDATE arms SET evidence = x'01', pending = x'02', baseline = ?", (baseline.id,))
    store.baselines.use("default", baseline.id)
    assert store.database.row("SELECT evidence, pending FROM arms") == (b"\x01", b"\x02")
    store.baselines.add(replace(baseline, id="second"), "test")
    assert store.database.row("SELECT evidence, pending, baseline FROM arms") == (None, None, None)


def test_a_learnt_baseline_uses_up_its_lessons(store, baseline):
    """The lessons it was made from go, what was too much comes back, later ones stay."""
    ids = lessons(store, 4)
    assert store.baselines.add_learnt(baseline, ids[:3], Lesson("default", "fake-16", 0, b"rest"))
    assert [stored.lesson.body for stored in store.lessons.of("default")] == [b"3", b"rest"]
    assert [row.origin for row in store.baselines.listed()] == ["traffic"]


def test_two_workers_do_not_both_learn(store, baseline):
    """The second one learns that there is a baseline; with the lessons gone nothing is changed."""
    ids = lessons(store, 2)
    with pytest.raises(Outdated):
        store.baselines.add_learnt(baseline, [*ids, 99], None)
    assert len(store.lessons.of("default")) == 2
    assert store.baselines.active() == {}
    assert store.baselines.add_learnt(baseline, ids, None)
    assert not store.baselines.add_learnt(replace(baseline, id="second"), ids, None)
    assert [row.id for row in store.baselines.listed()] == [baseline.id]
