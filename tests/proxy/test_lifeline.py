"""Messages from a parent arrive whole, however they are cut."""

from __future__ import annotations

import io

import pytest

from proxy.lifeline import Inbox, first_message, message


def test_messages_arrive_whole_in_order_however_they_are_cut() -> None:
    """Byte by byte, and several at once."""
    sent = [{"n": 1}, "two", list(range(3000))]
    data = b"".join(message(content) for content in sent)
    for step in (1, 7, len(data)):
        inbox = Inbox()
        found = [one for at in range(0, len(data), step) for one in inbox.feed(data[at : at + step])]
        assert found == sent


def test_the_first_message_takes_no_byte_of_the_next() -> None:
    """What follows it is left in the pipe."""
    pipe = io.BytesIO(message("first") + message("second"))
    assert first_message(lambda size: pipe.read(min(size, 5))) == "first"
    assert list(Inbox().feed(pipe.read())) == ["second"]


def test_a_parent_that_is_gone_before_it_has_spoken() -> None:
    """The worker ends with an error instead of waiting."""
    pipe = io.BytesIO(message("first")[:-1])
    with pytest.raises(EOFError):
        first_message(pipe.read)
