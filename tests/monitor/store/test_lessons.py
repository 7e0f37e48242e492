"""What routes without a baseline have brought."""

from __future__ import annotations

from monitor.store import Lesson
from monitor.store.lessons import add_lesson


def test_lessons_are_counted_and_read_in_order(store):
    """Progress is the sum of what a baseline could learn from, by route."""
    for i in range(3):
        add_lesson(store.database, Lesson("a", "s", i, b"%d" % i))
    add_lesson(store.database, Lesson("b", "s", 5, b"x"))
    assert store.lessons.learnt() == {"a": 3, "b": 5}
    assert [stored.lesson.body for stored in store.lessons.of("a")] == [b"0", b"1", b"2"]
    assert [stored.lesson.body for stored in store.lessons.of("a", 2)] == [b"0", b"1"]


def test_another_scorer_starts_over(store):
    """Scores of two scorers are never mixed in one baseline."""
    add_lesson(store.database, Lesson("a", "old", 7, b"old"))
    add_lesson(store.database, Lesson("a", "new", 2, b"new"))
    assert [stored.lesson.scorer for stored in store.lessons.of("a")] == ["new"]
