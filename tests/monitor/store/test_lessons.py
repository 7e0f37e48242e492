"""What routes without a baseline have brought."""

from __future__ import annotations

import pytest

from monitor.store import Lesson, Outdated
from monitor.store.lessons import HEADS, LEARNT, Learnt, add_lesson


def test_lessons_are_counted_and_read_in_order(store):
    """Progress is the sum of what a baseline could learn from, by route."""
    for i in range(3):
        add_lesson(store.database, Lesson("a", "s", i, b"%d" % i, 3600.0 * i, 3600.0 * i + 1800.0))
    add_lesson(store.database, Lesson("b", "s", 5, b"x"))
    assert store.lessons.learnt() == {"a": Learnt(3, 2.5), "b": Learnt(5, 0.0)}
    assert [stored.lesson.body for stored in store.lessons.of("a")] == [b"0", b"1", b"2"]
    assert [stored.lesson.body for stored in store.lessons.of("a", 2)] == [b"0", b"1"]


def test_another_scorer_starts_over(store):
    """Scores of two scorers are never mixed in one baseline."""
    add_lesson(store.database, Lesson("a", "old", 7, b"old"))
    add_lesson(store.database, Lesson("a", "new", 2, b"new"))
    assert [stored.lesson.scorer for stored in store.lessons.of("a")] == ["new"]


def test_lessons_give_way_to_stretches(store):
    """Stretches come first, in the order of their numbers; a worker who comes second changes nothing."""
    for i in range(3):
        add_lesson(store.database, Lesson("a", "s", 2, b"%d" % i))
    first, second, _ = (stored.id for stored in store.lessons.of("a"))
    stretches = [Lesson("a", "s", 2, b"later", stretch=1), Lesson("a", "s", 2, b"sooner", stretch=0)]
    store.lessons.replace([first, second], stretches)
    assert [stored.lesson.body for stored in store.lessons.of("a")] == [b"sooner", b"later", b"2"]
    assert [stored.lesson.body for stored in store.lessons.fresh("a")] == [b"2"]
    assert [head[1:] for head in store.lessons.heads("a")] == [(2, 0), (2, 1), (2, None)]
    assert store.lessons.heads("b") == []
    with pytest.raises(Outdated):
        store.lessons.replace([first], [Lesson("a", "s", 9, b"x")])
    assert store.lessons.learnt()["a"].scored == 6


@pytest.mark.parametrize(("query", "values"), [(LEARNT, ()), (HEADS, ("a",))])
def test_how_far_learning_has_come_is_told_without_reading_bodies(store, query, values):
    """An index holds all that is asked every few seconds."""
    for i in range(3):
        add_lesson(store.database, Lesson("a", "s", 2, b"body", 1.0, 2.0, i))
    plan = [row[-1] for row in store.database.rows(f"EXPLAIN QUERY PLAN {query}", values)]
    assert any("COVERING INDEX" in step for step in plan), plan
