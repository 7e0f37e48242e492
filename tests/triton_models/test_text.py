"""What of a text is read."""

from __future__ import annotations

import pytest
from scoring.text import HEAD_CHARS, TAIL_CHARS, TextRefused, check_sizes, read_text


def test_bytes_that_are_no_utf8_are_replaced():
    """Bad bytes become the replacement character; nothing is refused for them."""
    assert read_text(b"caf\xc3\xa9 \xff!") == "café �!"


def test_lone_surrogates_read_the_same_as_after_travelling():
    """A string that UTF-8 cannot carry reads as what would arrive."""
    assert read_text("a\ud800b") == read_text("a\ud800b".encode("utf-8", "replace"))


def test_the_middle_of_a_long_text_is_left_out():
    """Beginning and end are read, and no more than both."""
    text = "a" * 10_000 + "z" * 500
    read = read_text(text)
    assert read.startswith("a" * HEAD_CHARS)
    assert read.endswith("a" * 500 + "z" * 500)
    assert len(read) == HEAD_CHARS + 1 + TAIL_CHARS


def test_a_text_at_the_limit_is_whole():
    """Up to both parts' length nothing is left out."""
    text = "b" * (HEAD_CHARS + TAIL_CHARS)
    assert read_text(text) == text


def test_a_huge_text_is_refused():
    """Beyond the limit the message names size and parameter."""
    with pytest.raises(TextRefused, match=r"11 bytes exceeds max_text_bytes = 10"):
        check_sizes([b"x" * 10, b"x" * 11], 10)
