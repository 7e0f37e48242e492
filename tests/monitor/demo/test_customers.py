"""Generated customers are varied, repeatable, and understood by the stand-in model."""

from __future__ import annotations

from random import Random

import pytest

from monitor.demo.customers import SLOTS, TOPICS, Topic, question, topic_of


def test_hundreds_of_distinct_questions():
    """A thousand questions hardly repeat."""
    random = Random(1)
    asked = [question(TOPICS, random) for _ in range(1000)]
    assert len(set(asked)) > 900
    assert not any("{" in text for text in asked)


def test_the_same_seed_asks_the_same():
    """So that the demo is the same play every time."""
    assert [question(TOPICS, Random(3)) for _ in range(5)] == [question(TOPICS, Random(3)) for _ in range(5)]


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_each_topic_is_recognised(topic: Topic):
    """By its own words, with few mistakes."""
    random = Random(5)
    right = sum(topic_of(question((topic,), random)) == topic for _ in range(300))
    assert right > 285


def test_what_is_about_nothing_known_has_no_topic():
    """No word of any topic."""
    assert topic_of("zzz") is None


def test_every_slot_of_every_template_can_be_filled():
    """A template with an unknown slot would fail in front of people."""
    for topic in TOPICS:
        for core in topic.cores:
            for name in (part.partition("}")[0] for part in core.split("{")[1:]):
                assert name in SLOTS
