"""Finding in windows: the same as in one go, and in steps that are bounded and add up to the text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.finding import REACH, WINDOW, Rule, replaced, run_end
from proxy.redact import _GATES, READY

HEADS = ["key", "email", "card", "phone"]


class Counting:
    """A head that counts the characters it was taken through."""

    def __init__(self, head: re.Pattern[str]) -> None:
        self.head, self.all, self.longest = head, 0, 0

    def search(self, text: str, at: int, end: int) -> re.Match[str] | None:
        """Search, and count what lies between here and the match."""
        found = self.head.search(text, at, end)
        through = (min(end, len(text)) if found is None else found.end()) - at
        self.all, self.longest = self.all + through, max(self.longest, through)
        return found


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize(
    "unit", ["-eyJaaaaaaaa", "a@b.cc ", "+1 ", "555-123-4567 ", "-----BEGIN PRIVATE KEY-----", "x", "sk-a"]
)
def test_no_step_is_long_and_all_together_are_the_text(name: str, unit: str) -> None:
    """A call goes through a window and its overlap at most; heads are gone through twice, other text hardly more."""
    text = unit * (200_000 // len(unit))
    head = Counting(READY[name].head)
    replaced(text, READY[name]._replace(head=head))  # type: ignore[arg-type]
    assert head.longest <= WINDOW + REACH
    assert head.all <= 2 * len(text)


HOSTILE = [
    *("a", "b", " ", "\n", "0", "1", "12", "+4", "-", "_", ".", "@", "(", ")", "/", "é"),
    *("a@b", ".co", "(030)", "555-123-4567", "01 2345 67", "4111 1111 1111 1111", "4111111111111111"),
    *(
        "sk-",
        "pk_",
        "Bearer",
        "basic ",
        "eyJ",
        "aaaaaaaaaaaa",
        "hf_",
        "ghp_",
        "glpat-",
        "xoxb-",
        "AKIA",
        "AAAAAAAA",
    ),
    *("-----BEGIN ", "-----END ", "RSA PRIVATE KEY", "-----", "MIIE+a8=", "Proc-Type: 4\n"),
]


@given(st.lists(st.sampled_from(HOSTILE), max_size=60), st.integers(1, 50))
def test_where_windows_end_changes_nothing(words: list[str], window: int) -> None:
    """In windows of any length, asked first or not, the same is found as in one go; and the search finds what `sub` does."""
    text = "".join(words)
    for possible, names in _GATES:
        for name in names:
            rule = READY[name]
            at_once = replaced(text, rule)
            assert replaced(text, rule._replace(window=window)) == at_once
            assert replaced(text, rule._replace(window=window), possible) == at_once
    assert replaced(text, READY["phone"]) == READY["phone"].head.sub("[phone]", text)


def test_a_window_that_holds_nothing_is_not_searched() -> None:
    """The question before the search is asked of each window with its overlap."""
    asked: list[str] = []

    def possible(text: str) -> bool:
        asked.append(text)
        return "y" in text

    rule = Rule("!", re.compile("[xy]"), window=4, reach=2)
    assert replaced("xaaaaaaayaaax", rule, possible) == "xaaaaaaa!aaax"
    assert asked == ["xaaaaa", "aaaaya", "yaaax", "x"]


@pytest.mark.parametrize("length", [0, 1, WINDOW - 1, WINDOW, WINDOW + 1, 5 * WINDOW])
def test_a_run_is_followed_to_its_end(length: int) -> None:
    """However long the run, at the text's end and before another character."""
    run = re.compile("a*+")
    assert run_end(run, "b" + "a" * length, 1) == length + 1
    assert run_end(run, "b" + "a" * length + "b", 1) == length + 1
