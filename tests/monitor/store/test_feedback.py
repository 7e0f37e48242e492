"""Feedback from its arrival until its route is known."""

from __future__ import annotations

import pytest

from monitor.contract import Feedback
from monitor.store import CounterKey, Work
from monitor.store.feedback import REWARDS_KEPT, Reward, Taken


def said(exchange: str, label: str = "good", **more) -> Feedback:
    """Return feedback of one annotator."""
    return Feedback(exchange=exchange, label=label, annotator=more.pop("annotator", "anna"), **more)


def scored(store, *rewards: Reward, batch: int = 1) -> None:
    """Commit exchanges with their rewards, as the pipeline does."""
    counts = {CounterKey("r", "control", "scored"): len(rewards)}
    store.ledger.commit(Work("b", [batch], 1e9, {}, {}, [], counts, rewards=rewards), lambda: 1.0)


def test_a_judgement_stands_as_first_given(store):
    """Sending it twice changes nothing and is counted, whatever the label says the second time."""
    assert store.feedback.add([said("x1"), said("x2")], 5.0, "r") == Taken(2, 0, 2)
    assert store.feedback.add([said("x1", "bad"), said("x1", annotator="ben")], 6.0, "r") == Taken(1, 1, 1)
    assert store.feedback.counters() == {("r", "accepted"): 3, ("r", "repeated"): 1}
    labels = store.database.rows(
        "SELECT annotator, label, time FROM feedback WHERE exchange = 'x1' ORDER BY id"
    )
    assert labels == [("anna", "good", 5.0), ("ben", "good", 6.0)]


def test_an_exchange_that_is_known_gives_route_and_reward(store):
    """What feedback says itself stands before it."""
    scored(store, Reward("x1", "r", 0.25), Reward("x2", "r", None))
    taken = store.feedback.add([said("x1"), said("x2", reward=0.5, route="other")], 5.0)
    assert taken == Taken(2, 0, 0)
    rows = store.database.rows("SELECT route, reward, state FROM feedback ORDER BY id")
    assert rows == [("r", 0.25, 1), ("other", 0.5, 1)]


def test_feedback_may_come_before_its_exchange(store):
    """Without a route it is parked, and matched once the exchange is scored; a reward is taken up as well."""
    assert store.feedback.add([said("x1"), said("x2", route="r")], 5.0) == Taken(2, 0, 2)
    assert (store.feedback.parked(), store.feedback.match()) == (1, 0)
    scored(store, Reward("x1", "r", 0.5), Reward("x2", "r", 0.75))
    assert (store.feedback.match(), store.feedback.parked()) == (1, 0)
    assert store.database.rows("SELECT route, reward FROM feedback ORDER BY id") == [("r", 0.5), ("r", 0.75)]


def test_old_feedback_and_old_rewards_go(store):
    """Of rewards only the newest exchanges' stay."""
    store.feedback.add([said("x1"), said("x2", annotator="ben")], 5.0)
    store.feedback.add([said("x3")], 50.0)
    scored(store, *(Reward(f"e{i}", "r", 0.1) for i in range(3)))
    store.database.execute("UPDATE rewards SET id = id + ? WHERE id > 1", (REWARDS_KEPT,))
    store.feedback.forget(20.0)
    assert store.database.rows("SELECT exchange FROM feedback") == [("x3",)]
    assert store.database.rows("SELECT count(*) FROM rewards") == [(2,)]


@pytest.mark.parametrize("again", [1, 2])
def test_rewards_are_remembered_once(store, again):
    """The same exchange in two batches, as after a crash of a producer, keeps its first row."""
    scored(store, Reward("x1", "r", 0.5))
    if again == 2:
        scored(store, Reward("x1", "r", 0.9), batch=2)
    assert store.database.rows("SELECT exchange, reward FROM rewards") == [("x1", 0.5)]
