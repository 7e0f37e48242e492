"""Style features: their table, and what they must not see."""

from __future__ import annotations

import numpy as np
import pytest
from scoring.style import FEATURES, style_features


@pytest.fixture
def named(models):
    """Return a function from prompt and response to features by name."""
    pieces = models.embedder.reader

    def features(prompt, response):
        values = style_features(response, pieces.encode(prompt), pieces.encode(response))
        return dict(zip(FEATURES, values, strict=True))

    return features


def test_every_feature_has_a_name_and_a_finite_value(named):
    """Any answer, blank ones too, has one finite value for each name."""
    for response in ("", " ", "Yes.", "line\nline\nline", "I'm sorry, I cannot."):
        assert np.isfinite(list(named("Why?", response).values())).all()


def test_features_mean_what_they_are_called(named):
    """Refusals, repeated lines, open ends and blank answers show."""
    assert named("Do it", "I'm sorry, but I can't.")["refusing"] == 1.0
    assert named("Do it", "a\na\na\nb")["line_repeats"] == pytest.approx(0.5)
    assert named("Do it", "and then the")["ends_open"] == 1.0
    assert named("Do it", " \n")["blank"] == 1.0
    assert named("the cat", "the cat sat")["piece_overlap"] > named("the cat", "birds fly")["piece_overlap"]


def test_layout_is_not_seen(named):
    """Bold marks alone change nothing but the pieces' variety."""
    plain, bold = named("List", "One, two. Three"), named("List", "**One**, two. **Three**")
    assert {k for k in plain if plain[k] != bold[k]} <= {"piece_variety", "ends_open"}
