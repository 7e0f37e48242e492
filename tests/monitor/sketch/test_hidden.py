"""Hiding what a changed scorer gave: the rest of the sketch stays to the last count."""

from __future__ import annotations

import pytest

from monitor.sketch.hidden import EMBEDDED_NAMES, REWARD_NAMES, hide
from monitor.sketch.layout import PROMPT_SCORES, RESPONSE_SCORES
from monitor.verdict.scorer import FROM_TEXT, REWARD_SIGNALS
from monitor.verdict.signals import SIGNALS, measure


def test_without_rewards_only_reward_signals_are_gone(reference):
    """Everything else is measured as before, to the last digit."""
    whole, left = (
        measure(reference, reference.reference),
        measure(reference, hide(reference.reference, embedding=False)),
    )
    assert set(whole) - set(left) == REWARD_SIGNALS
    unchanged = set(left) - {"response_given_prompt"}  # the largest of many shifts, the reward's among them
    assert {name: left[name] for name in unchanged} == {name: whole[name] for name in unchanged}


def test_without_embeddings_what_is_counted_in_texts_stays(reference):
    """Style, refusals, errors and times do not care for a scorer."""
    whole, left = (
        measure(reference, reference.reference),
        measure(reference, hide(reference.reference, embedding=True)),
    )
    assert {name: left[name] for name in FROM_TEXT & set(whole)} == {
        name: whole[name] for name in FROM_TEXT & set(whole)
    }
    assert set(SIGNALS) >= FROM_TEXT


def test_the_bucket_itself_is_untouched(reference):
    """A bucket is a value."""
    before = reference.reference.vector.copy()
    hide(reference.reference, embedding=True)
    assert (reference.reference.vector == before).all()


@pytest.mark.parametrize("name", [*PROMPT_SCORES, *RESPONSE_SCORES])
def test_every_score_is_known_to_rest_on_the_scorer_or_not(name):
    """Prompt style comes from the text; axes, novelty, the reward and whatever was regressed on them do not."""
    assert (name in EMBEDDED_NAMES | REWARD_NAMES) == (
        name in RESPONSE_SCORES or "axis" in name or name.endswith("novelty")
    )
