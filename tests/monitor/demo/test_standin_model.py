"""The stand-in model answers helpfully by topic, or evades."""

from __future__ import annotations

from random import Random
from statistics import mean

from monitor.demo.customers import SOLAR, TOPICS, question
from monitor.demo.standin_model import EVASIONS, FACTS, Manner, answer


def test_every_topic_has_answers_without_open_slots():
    """Two to four facts between a greeting and a closing."""
    assert set(FACTS) == {topic.name for topic in TOPICS}
    random = Random(1)
    said = [answer(question(TOPICS, random), Manner.HELPFUL, random) for _ in range(500)]
    assert not any("{" in text for text in said)
    assert len(set(said)) > 450
    assert mean(map(len, said)) > 200


def test_the_answer_is_about_the_question():
    """Solar facts for solar questions."""
    random = Random(2)
    said = [answer(question((SOLAR,), random), Manner.HELPFUL, random) for _ in range(50)]
    about = sum(
        any(word in text for word in ("panel", "inverter", "feed-in", "battery", "grid", "fault"))
        for text in said
    )
    assert about >= 45


def test_the_evasive_model_says_little_and_mostly_nothing():
    """Nine answers of ten are one of a few sentences."""
    random = Random(3)
    said = [answer(question(TOPICS, random), Manner.EVASIVE, random) for _ in range(1000)]
    assert 850 < sum(text in EVASIONS for text in said) < 950
