"""Style features say how a text is written, on texts short enough to count by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monitor.text.style import (
    MAX_CHARS,
    PROMPT_FEATURES,
    RESPONSE_FEATURES,
    clip,
    is_refusal,
    prompt_style,
    response_style,
    style_matrix,
)


def answer(text: str) -> dict[str, float]:
    """Return the features of an answer by name."""
    return dict(zip(RESPONSE_FEATURES, response_style(text), strict=True))


def prompt(text: str) -> dict[str, float]:
    """Return the features of a prompt by name."""
    return dict(zip(PROMPT_FEATURES, prompt_style(text), strict=True))


def test_a_plain_sentence():
    """Length, words, capitals and punctuation of one sentence are what they look like."""
    seen = answer("The cat, a big one, sat.")
    assert seen["length"] == pytest.approx(math.log1p(24))
    assert seen["words_per_sentence"] == pytest.approx(math.log1p(6))
    assert seen["commas"] == pytest.approx(2 / 6)
    assert seen["capitals"] == pytest.approx(1 / 24)
    assert seen["capital_start"] == 1.0
    assert (seen["lines"], seen["list_items"], seen["refusal"], seen["unfinished"]) == (0, 0, 0, 0)


@pytest.mark.parametrize("bullet", ["- ", "* ", "+ ", "• ", "1. ", "2) ", "  - "])
def test_lists_are_counted_whatever_their_bullets(bullet: str):
    """Three items are three items, indented or not."""
    text = "Buy these:\n" + "\n".join(f"{bullet}bread" for _ in range(3))
    assert answer(text)["list_items"] == pytest.approx(math.log1p(3))


@pytest.mark.parametrize(
    "start", ["“Quoted,” he said", "—a dash", "1990 was wet", "**Bold** start", "-minus"]
)
def test_lines_that_only_look_like_items_are_not(start: str):
    """Quotation marks, dashes, years and bold type open no list item."""
    assert answer(f"First line\n{start}\n{start}")["list_items"] == 0.0


def test_markdown_and_code():
    """Headings, bold passages and code marks have features of their own."""
    seen = answer("# Title\n\nUse **this** and `that`:\n\n```\nx = 1\n```\n## End")
    assert seen["headings"] == pytest.approx(math.log1p(2))
    assert seen["bold"] == pytest.approx(math.log1p(1))
    assert seen["code"] == pytest.approx(math.log1p(4))
    assert seen["paragraphs"] == pytest.approx(math.log1p(2))
    assert answer("Nothing of the kind.")["code"] == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry, I cannot do this.",
        "I apologize, that is beyond me.",
        "As an AI language model, I have no opinion.",
        "We must decline to answer.",
        "It is not appropriate to say so.",
        "That is against our policy.",
    ],
)
def test_refusals_are_recognised(text: str):
    """Answers that open by declining count as refusals, straight apostrophes or curly ones."""
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "Sure, here is how.",
        "You can help by asking.",
        "The film is called Sorry.",
        "x" * 300 + " I cannot help with that.",
        "",
    ],
)
def test_other_answers_are_no_refusals(text: str):
    """Friendly answers, and refusals of somebody late in a long text, do not count."""
    assert not is_refusal(text)


def test_passive_voice():
    """Forms of to be followed by a participle count, per sentence."""
    assert answer("The wall was painted. It was quickly built.")["passive"] == pytest.approx(1.0)
    assert answer("We painted the wall. It is green.")["passive"] == 0.0


def test_repetition_of_a_loop_is_near_one():
    """A decoder stuck in a loop repeats nearly every triple; ordinary text none."""
    assert answer("again and again and " * 50)["repetition"] > 0.97
    assert answer("every word in here differs from all others")["repetition"] == 0.0


def test_vocabulary_does_not_follow_length_alone():
    """The same few words many times over count as a poor vocabulary."""
    assert (
        answer("one two three four " * 40)["vocabulary"] < -0.5 < answer("one two three four")["vocabulary"]
    )


def test_unfinished_answers():
    """A text of some length that stops in mid-sentence is unfinished; a short or a closed one is not."""
    long = "This sentence goes on and on for quite a while, so that it has more than eighty bytes, and"
    assert answer(long)["unfinished"] == 1.0
    assert answer(long + " ends.")["unfinished"] == 0.0
    assert answer("Short and")["unfinished"] == 0.0


def test_word_groups_are_shares_of_words():
    """Hedging, courtesy and the like are counted per word, in any case of letters."""
    seen = answer("Perhaps you MAY thank me")
    assert seen["hedging"] == pytest.approx(2 / 5)
    assert seen["second_person"] == pytest.approx(1 / 5)
    assert seen["courtesy"] == pytest.approx(1 / 5)
    assert seen["first_person"] == pytest.approx(1 / 5)


def test_other_scripts():
    """Text outside ASCII has its share and still finite features, broken surrogates included."""
    seen = answer("これは答えです。はい。")
    assert seen["non_ascii"] == 1.0
    assert seen["words_per_sentence"] < math.log1p(2)
    assert all(math.isfinite(value) for value in response_style("\ud800 half a pair \x00"))


@pytest.mark.parametrize("text", ["", " ", "\n\t\n"])
def test_nothing_has_no_style(text: str):
    """Empty and blank texts are all zeros, never an error."""
    assert set(response_style(text)) == {0.0}
    assert set(prompt_style(text)) == {0.0}


def test_huge_texts_are_clipped_in_the_middle():
    """A megabyte costs what 6,000 characters cost, but keeps its true length, beginning and end."""
    huge = "# Start\n" + "word " * 200_000 + "I stop here."
    assert len(clip(huge)) == MAX_CHARS + 1
    assert clip(huge).startswith("# Start")
    assert clip(huge).endswith("I stop here.")
    seen = answer(huge)
    assert seen["length"] == pytest.approx(math.log1p(len(huge)))
    assert seen["headings"] > 0
    assert clip("short") == "short"


def test_prompts_have_features_of_their_own():
    """Questions, code and the speaker show in a prompt."""
    seen = prompt("Why does my code f(x) = {1} fail? I am lost")
    assert seen["questions"] == pytest.approx(math.log1p(1))
    assert seen["code"] == pytest.approx(math.log1p(2))
    assert seen["first_person"] == pytest.approx(2 / 11)


def test_a_matrix_has_one_row_a_text():
    """Many texts become one array; no texts an array of no rows."""
    assert style_matrix(response_style, ["a", "b"]).shape == (2, len(RESPONSE_FEATURES))
    assert style_matrix(prompt_style, []).shape == (0, len(PROMPT_FEATURES))
    assert np.isfinite(style_matrix(prompt_style, ["?", "1", "é"])).all()
