"""What is scored, and what is not and why."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from monitor.contract import Exchange
from monitor.scorer import ScorerUnavailable
from monitor.scorer.fake import FakeScorer
from monitor.service.scoring import reason_not_to_score, score_exchanges


def exchange(**changes: object) -> Exchange:
    """Make an exchange that can be scored, but for these changes."""
    return msgspec.structs.replace(Exchange(id="a", time=0.0, prompt="why", response="so"), **changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"response": None}, None),
        ({"status": 500}, "error"),
        ({"error": "reset"}, "error"),
        ({"complete": False}, "incomplete"),
        ({"prompt": " ", "response": ""}, "empty"),
    ],
)
def test_reasons(changes, reason):
    """Failed, cut and empty exchanges are not scored; one without an answer is scored by its prompt."""
    assert reason_not_to_score(exchange(**changes)) == reason


def test_every_exchange_keeps_its_row(traffic):
    """Rows without a score are zero with the reason beside them; the others are as if they came alone."""
    scorer = FakeScorer()
    exchanges = traffic(6)
    exchanges[1] = msgspec.structs.replace(exchanges[1], status=500)
    exchanges[3] = msgspec.structs.replace(exchanges[3], prompt=scorer.refuse)
    exchanges[4] = msgspec.structs.replace(exchanges[4], complete=False)
    judged = score_exchanges(scorer, exchanges, batch=2)
    assert judged.skipped == {1: "error", 3: "refused_by_scorer", 4: "incomplete"}
    assert judged.scored.errors == {3: "refused"}
    assert judged.scorer == "fake-16"
    for row, x in enumerate(exchanges):
        alone = scorer.score([x.prompt], [x.response])
        wanted = np.zeros(16) if row in judged.skipped else alone.prompt[0]
        np.testing.assert_array_equal(judged.scored.prompt[row], wanted)
        assert np.isnan(judged.scored.reward[row]) == (row in judged.skipped)


def test_a_lot_of_failures_still_has_the_size_of_embeddings(traffic):
    """Where every exchange failed the rows are zero and as wide as the scorer's embeddings."""
    failed = [msgspec.structs.replace(x, status=500) for x in traffic(3)]
    judged = score_exchanges(FakeScorer(), failed, batch=2)
    assert judged.scored.prompt.shape == (3, 16)
    assert not judged.scored.prompt.any()
    assert judged.skipped == dict.fromkeys(range(3), "error")
    assert judged.scored.errors == {}


def test_a_scorer_that_is_down_says_so(traffic):
    """Nothing is made up while no score can be had."""
    scorer = FakeScorer()
    scorer.down = True
    with pytest.raises(ScorerUnavailable):
        score_exchanges(scorer, traffic(1), batch=2)
