"""What counts as feedback, and how it says that something is none."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.contract.feedback import Feedback, epoch_seconds, label_text, read_feedback


def test_the_shortest_and_the_longest():
    """An exchange and a label are enough; every key has its place."""
    assert read_feedback({"exchange": "x1", "label": "good"}) == Feedback(exchange="x1", label="good")
    whole = {
        "id": "x1",
        "annotator": "anna",
        "score": 4,
        "gold": 5.0,
        "time": "2026-01-02T03:04:05Z",
        "route": "r",
        "item": "i",
        "reward": "0.25",
        "more": [],
    }
    assert read_feedback(whole) == Feedback(
        exchange="x1",
        label="4",
        annotator="anna",
        gold="5",
        time=1767323045.0,
        route="r",
        item="i",
        reward=0.25,
    )


def test_a_confusion_cell_is_gold_and_label():
    """`cell` is the short way to send both; it does not stand against what is said beside it."""
    assert read_feedback({"exchange": "x", "cell": "ok > bad"}).gold == "ok"
    found = read_feedback({"exchange": "x", "cell": "a>b", "label": "c"})
    assert (found.gold, found.label) == ("a", "c")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (3, "3"),
        (3.0, "3"),
        (0.12345, "0.123"),
        ("4.0", "4"),
        (2026, "2026"),
        ("  a  b ", "a b"),
        ("", None),
    ],
)
def test_labels_are_text(value: Any, text: str | None):
    """Yes and no, numbers and words meet as text."""
    assert label_text(value) == text


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({}, "needs `exchange`"),
        ({"exchange": "x"}, "needs `label`"),
        ({"exchange": "x", "label": [1]}, "label: expected text"),
        ({"exchange": "x", "score": float("nan")}, "finite"),
        ({"exchange": {"a": 1}, "label": "a"}, "exchange: expected text"),
        ({"exchange": "x", "label": "a" * 300}, "longer"),
        ({"exchange": "x" * 300, "label": "a"}, "longer"),
        ({"exchange": "x", "label": "a", "time": "yesterday"}, "time: got 'yesterday'"),
        ({"exchange": "x", "label": "a", "time": True}, "time"),
        ({"exchange": "x", "label": "a", "time": -1}, "time"),
        ({"exchange": "x", "label": "a", "reward": "much"}, "reward"),
        ({"exchange": "x", "label": "a", "reward": [1]}, "reward"),
        ({"exchange": "x", "cell": "a-b"}, "cell"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(values: dict[str, Any], word: str):
    """Each mistake names its key."""
    with pytest.raises(ValueError, match=word) as fault:
        read_feedback(values)
    assert "\n" not in str(fault.value)


def test_times_in_three_spellings():
    """Seconds, milliseconds and ISO 8601 are the same moment; no zone means UTC."""
    assert epoch_seconds(1767323045) == epoch_seconds(1767323045000) == epoch_seconds("2026-01-02 03:04:05")
    assert epoch_seconds(None) == 0.0
