"""Rows of scored exchanges stay together."""

from __future__ import annotations

from tests.monitor.synthetic import World


def test_taking_rows_keeps_scores_and_errors_beside_their_exchange():
    """Rows come in the order asked for; errors move with them, those of others are left behind."""
    scored = World().make(5, seed=1)._replace(errors={1: "first", 4: "last"})
    taken = scored.take([4, 2])
    assert [e.id for e in taken.exchanges] == [scored.exchanges[4].id, scored.exchanges[2].id]
    assert taken.reward.tolist() == [float(scored.reward[4]), float(scored.reward[2])]
    assert taken.prompt.shape == (2, scored.prompt.shape[1])
    assert taken.errors == {0: "last"}
    assert scored.take([]).exchanges == []
