"""The reference of fixed prompts: how answers differ from earlier answers to the same prompt."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.canary.answers import WATCHED, make_reference, residual_of, residuals_of
from tests.monitor.canary.sayings import PROMPTS, answers


@pytest.fixture(scope="module")
def reference():
    """Make a reference of eight rounds."""
    return make_reference(answers(8, seed=1), len(PROMPTS))


def test_residuals_are_centred_and_scaled_as_those_of_new_answers(reference):
    """Forty rounds of the same model vary around the reference as the reference does around itself."""
    own = residuals_of(reference)
    assert own.shape == (48, len(WATCHED))
    assert np.abs(own[:, :-1].mean(axis=0)).max() < 1e-6
    new = np.array([residual_of(reference, each)[0] for each in answers(40, seed=2)])
    place = WATCHED.index("length")
    assert new[:, place].std() == pytest.approx(own[:, place].std(), rel=0.35)
    distance = WATCHED.index("distance")
    assert abs(new[:, distance].mean()) < own[:, distance].std()


def test_the_question_has_no_part_in_it():
    """Prompts that are answered at very different lengths leave residuals of one size around zero."""
    made = make_reference(answers(8, seed=1, mood="fixed"), len(PROMPTS))
    for each in answers(1, seed=9, mood="fixed"):
        residual, different = residual_of(made, each)
        assert np.abs(residual).max() < 1e-2
        assert not different
    assert made.different == 0


def test_words_never_said_before_are_told(reference):
    """A model without chance repeats itself; one with chance hardly ever does."""
    assert reference.different == reference.of
    assert all(residual_of(reference, each)[1] for each in answers(2, seed=5))
    again = answers(8, seed=1)
    assert not any(residual_of(reference, each)[1] for each in again)
