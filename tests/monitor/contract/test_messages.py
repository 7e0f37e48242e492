"""From chat messages to the text that is judged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.contract.messages import Conversation, content_text, read_conversation, short_hash


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("plain", "plain"),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\nb"),
        ([{"type": "input_text", "text": "a"}, {"type": "output_text", "text": "b"}], "a\nb"),
        (
            [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": "u"}}],
            "what is this?\n[image_url]",
        ),
        (["a", 5, None, {"type": "text"}, {"type": "text", "text": 7}, {}], "a"),
        (None, ""),
        (5, ""),
    ],
)
def test_content_is_text_or_named_parts(content: Any, text: str):
    """What is not text is named, what is malformed is left out."""
    assert content_text(content) == text


def test_the_prompt_is_the_last_user_turn():
    """What came before is counted, the system prompt hashed."""
    got = read_conversation(
        [
            {"role": "system", "content": "be kind"},
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "two"},
            {"role": "user", "content": "three"},
            {"role": "tool", "content": "result"},
        ]
    )
    assert got == Conversation("three", 3, len("be kindonetwothreeresult"), short_hash("be kind"))


def test_instructions_and_developer_turns_are_the_system_prompt():
    """So that its change is visible however it was given."""
    by_message = read_conversation([{"role": "developer", "content": "x"}, {"role": "user", "content": "q"}])
    assert read_conversation([{"role": "user", "content": "q"}], "x").system_id == by_message.system_id
    assert read_conversation([{"role": "user", "content": "q"}], "y").system_id != by_message.system_id
    assert read_conversation([{"role": "user", "content": "q"}]).system_id == ""


def test_an_empty_user_turn_does_not_hide_the_question():
    """Some clients send one behind it."""
    assert (
        read_conversation([{"role": "user", "content": "q"}, {"role": "user", "content": ""}]).prompt == "q"
    )


@given(
    st.lists(
        st.none()
        | st.integers()
        | st.text()
        | st.dictionaries(
            st.sampled_from(["role", "content", "x"]),
            st.none() | st.integers() | st.text() | st.lists(st.text()),
        )
    )
)
def test_nothing_malformed_is_an_error(messages: list[Any]):
    """Clients send all kinds of things, and the upstream is the one to complain."""
    got = read_conversation(messages)
    assert got.turns >= 0
    assert got.context_chars >= len(got.prompt)


def test_a_hash_reveals_nothing_and_stays_the_same():
    """Twelve hexadecimal digits; lone surrogates are no error."""
    assert short_hash("a") == "ca234c55b51c" or len(short_hash("a")) == 12
    assert short_hash("a") != short_hash("b")
    assert len(short_hash("\ud800")) == 12
