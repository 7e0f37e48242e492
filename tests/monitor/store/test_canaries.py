"""Courses of canaries in the store: changed in one transaction, read back as they were."""

from __future__ import annotations

from monitor.canary.course import Course, Spend


def test_a_course_comes_back_and_a_damaged_one_is_none(store):
    """What cannot be read begins anew."""
    assert store.canaries.get("m") is None
    made = store.canaries.change(
        "m", lambda before: Course("k", spend=Spend(asked=3)) if before is None else before
    )
    assert store.canaries.get("m") == made
    assert store.canaries.change("m", lambda before: before) == made
    store.database.execute("UPDATE canaries SET body = ?", (b"\x81",))
    assert store.canaries.get("m") is None
