"""The test double keeps the scorer's contract."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.scorer import ScorerUnavailable
from monitor.scorer.fake import FakeScorer


def test_it_is_deterministic_and_knows_likeness():
    """Equal texts are equal, shared words bring texts near, batches change nothing."""
    scores = FakeScorer().score(["red cat", "red cat", "red dog", "blue sea"], ["a"] * 4)
    np.testing.assert_array_equal(scores.prompt[0], scores.prompt[1])
    assert scores.prompt[0] @ scores.prompt[2] > scores.prompt[0] @ scores.prompt[3]
    np.testing.assert_array_equal(FakeScorer().score(["red dog"], ["a"]).prompt[0], scores.prompt[2])


def test_it_keeps_the_contract():
    """Zero rows and NaN where there is no text, and unit rows elsewhere."""
    scores = FakeScorer(dim=8).score(["", "x"], [None, "y"])
    np.testing.assert_allclose(np.linalg.norm(scores.prompt, axis=1), [0, 1], atol=1e-6)
    assert np.isnan(scores.reward).tolist() == [True, False]
    assert FakeScorer(dim=8).score([], []).prompt.shape == (0, 8)


def test_it_fails_on_demand():
    """`down` makes it unavailable, the marked text is refused alone."""
    scorer = FakeScorer()
    assert list(scorer.score(["fine", scorer.refuse], ["a", "b"]).errors) == [1]
    scorer.down = True
    with pytest.raises(ScorerUnavailable):
        scorer.score(["fine"], ["a"])
