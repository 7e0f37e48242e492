"""Recorded answers come back by prompt, duplicates in turn."""

from __future__ import annotations

from monitor.contract import Exchange
from monitor.traffic.recorded import recorded_answers


def exchange(prompt: str, response: str | None, finish_reason: str | None = None) -> Exchange:
    """Make a recorded exchange."""
    return Exchange(id="x", time=0.0, prompt=prompt, response=response, finish_reason=finish_reason)


def test_duplicates_are_answered_in_turn():
    """In the recorded order, then from the start again; prompts do not disturb each other."""
    answers, known = recorded_answers(
        [exchange("a", "1"), exchange("b", "x"), exchange("a", "2"), exchange("a", "3")]
    )
    assert known == 4
    said = [answers(prompt) for prompt in "aabaaab"]
    assert [answer and answer.text for answer in said] == ["1", "2", "x", "3", "1", "2", "x"]


def test_what_was_not_recorded_has_no_answer():
    """Unknown prompts, and prompts recorded without a response."""
    answers, known = recorded_answers([exchange("a", None), exchange("b", "", "length")])
    assert known == 1
    assert answers("a") is None
    assert answers("c") is None
    empty = answers("b")
    assert empty is not None
    assert (empty.text, empty.finish_reason) == ("", "length")
