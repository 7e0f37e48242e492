"""Style features: their table, and what they must not see."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scoring.style import BLANK, FEATURES, style_features, style_matrix

PROSE = (
    "A kettle boils water. The heat moves from the plate through the metal, and the water carries it upwards; "
    "when all of it is hot, steam leaves the spout. "
)


def named(response: str) -> dict[str, float]:
    """Return the features by name."""
    return dict(zip(FEATURES, style_features(response), strict=True))


def test_every_feature_has_a_name_and_a_finite_value():
    """Any answer, blank and broken ones too, has one finite value for each name."""
    for response in ("", " ", ".", "好", "\ud800", "Yes.", "line\nline\nline", "I'm sorry, I cannot."):
        assert np.isfinite(list(named(response).values())).all()
    assert style_matrix([]).shape == (0, len(FEATURES))


def test_blank_answers_are_only_blank():
    """Nothing but white space is one row, whatever kind it is."""
    assert tuple(style_features(" \n")) == tuple(style_features("")) == BLANK
    assert BLANK[FEATURES.index("blank")] == 1.0 == sum(BLANK)


def test_features_mean_what_they_are_called():
    """Refusals, loops, open ends, brackets and words of a group show in their own feature."""
    assert named("I\u2019m sorry, but I can\u2019t.")["refusal"] == 1.0
    assert named("The sky is blue.")["refusal"] == 0.0
    assert named("go on and " * 50)["repetition"] > 0.9
    assert named(PROSE)["unfinished"] == 0.0
    assert named(PROSE + "and then the")["unfinished"] == 1.0
    assert named("one (two) three (four)")["brackets"] == pytest.approx(0.5)
    assert named("you and your words")["second_person"] == pytest.approx(0.5)
    assert named("Why? Who?")["questions"] == pytest.approx(np.log(3))


def test_repeating_oneself_is_no_vocabulary():
    """The same words again lower the vocabulary: it is not length."""
    assert named(PROSE * 5)["vocabulary"] < named(PROSE)["vocabulary"] - 0.5


def test_layout_is_not_seen():
    """Bold marks and list signs change no feature that counts words."""
    plain = named("One, two. Three")
    bold = named("- **One**, two. **Three**")
    assert {name for name in plain if plain[name] != bold[name]} == {"word_length", "capitals"}


def test_an_answer_is_read_quickly():
    """A kilobyte takes tens of microseconds; a tenfold bound keeps slow machines from failing."""
    text = (PROSE * 7)[:1000]
    began = time.perf_counter()
    style_matrix([text] * 500)
    assert (time.perf_counter() - began) / 500 < 400e-6
