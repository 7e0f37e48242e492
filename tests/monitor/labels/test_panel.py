"""All streams under one budget: who is watched, what they weigh, and what survives the store."""

from __future__ import annotations

import random
from math import exp, log

import pytest

from monitor.labels.judgement import Event, Judgement, Scheme, events_of
from monitor.labels.panel import (
    EVERYBODY,
    MINUTES_PER_MONTH,
    SHARE,
    Fold,
    Panel,
    kind_wealth,
    log_alarm,
    paired_by_reward,
    richest,
    take,
)

SCHEME = Scheme.learn(["a", "b"] * 25)
HOUR = 3600.0


def gold_events(
    n: int, accuracy: float, *, start: int = 0, who: int | None = None, seed: int = 0
) -> list[Event]:
    """Return gold comparisons of three annotators, an hour apart; `who` alone has this accuracy, the others 0.9."""
    rng, found = random.Random(seed), []
    for i in range(n):
        annotator = rng.randrange(3)
        right = accuracy if who in (None, annotator) else 0.9
        gold = rng.choice("ab")
        label = gold if rng.random() < right else "ab"[gold == "a"]
        new = Judgement(str(start + i), f"annotator {annotator}", label, gold, HOUR * (start + i + 1))
        found += events_of(SCHEME, new, [])
    return found


def test_the_budget_is_a_part_of_the_routes():
    """One in twenty of one alarm a month is one in six hundred days."""
    assert exp(log_alarm(1.0)) == pytest.approx(600 * 24 * 60)
    assert SHARE * 20 == 1.0


def test_an_annotator_who_changes_raises_the_alarm_at_an_exact_judgement():
    """And the richest stream is theirs; nothing is raised before."""
    alarm = log(MINUTES_PER_MONTH / 0.05)
    fold, raised = Fold(Panel(SCHEME), alarm), None
    for event in gold_events(900, 0.9) + gold_events(600, 0.6, start=900, who=1, seed=5):
        fold.take(event)
        if raised is None and fold.since is not None:
            raised = event.time / HOUR
    assert raised == 986
    panel = fold.panel()
    assert panel.alarmed
    assert richest(panel) == ("gold", "annotator 1")
    assert panel.judgements == 1500


def test_folding_at_once_or_in_parts_is_the_same():
    """A panel goes through the store between any two judgements."""
    events = gold_events(120, 0.8)
    whole = take(Panel(SCHEME), events, 10.0)
    parts = Panel(SCHEME)
    for start in range(0, len(events), 37):
        parts = Panel.from_bytes(take(parts, events[start : start + 37], 10.0).to_bytes())
    assert parts == whole


def test_trusted_events_are_learnt_from_and_not_bet_on():
    """A baseline's labels say what is usual."""
    panel = take(Panel(SCHEME), gold_events(200, 0.7), 10.0, trusted=True)
    assert panel.streams["gold", EVERYBODY].n == 200
    assert all(value == float("-inf") for value in kind_wealth(panel).values())


def test_the_weights_are_one():
    """However many kinds and annotators there are, equal wealth everywhere is that wealth."""
    panel = take(Panel(SCHEME), gold_events(200, 0.8), 99.0)
    wealth = {key: stream.log_wealth() for key, stream in panel.streams.items()}
    assert sum(exp(value) for value in kind_wealth(panel).values()) <= exp(max(wealth.values()))
    assert {key[0] for key in wealth} == {"gold", "label"}


def test_an_echo_counts_for_the_annotator_only():
    """The same comparison is not taken twice for everybody."""
    mine = Event(1.0, "anna", "peer", "a", "b", wrong=True, partner="ben")
    theirs = Event(1.0, "ben", "peer", "b", "a", wrong=True, partner="anna", echo=True)
    panel = take(Panel(SCHEME), [mine, theirs], 10.0)
    assert {key: s.n for key, s in panel.streams.items()} == {
        ("peer", EVERYBODY): 1,
        ("peer", "anna"): 1,
        ("peer", "ben"): 1,
    }


def test_rewards_order_pairs_as_labels_do_or_not():
    """Each judgement is in one pair at most; words without an order, and equal labels, wait in vain."""
    good, bad = Judgement("1", "", "good", reward=0.2), Judgement("2", "", "bad", reward=0.7)
    waiting, events = paired_by_reward((), good)
    assert (len(waiting), events) == (1, [])
    assert paired_by_reward(waiting, good._replace(reward=0.3))[1] == []
    left, (event,) = paired_by_reward(waiting, bad)
    assert (left, event.kind, event.wrong) == ((), "reward", True)
    assert paired_by_reward(waiting, bad._replace(reward=0.1))[1][0].wrong is False
    assert paired_by_reward(waiting, bad._replace(label="maybe")) == (waiting, [])
    assert paired_by_reward(waiting, bad._replace(reward=None)) == (waiting, [])


def test_an_alarm_ends_when_the_annotators_are_as_before():
    """The wealth falls again; while the change lasts the alarm stands."""
    alarm = log_alarm(1.0)
    events = gold_events(400, 0.95) + gold_events(200, 0.6, start=400, seed=1)
    events += gold_events(700, 0.95, start=600, seed=2)
    fold, seen = Fold(Panel(SCHEME), alarm), []
    for event in events:
        fold.take(event)
        seen.append(fold.since is not None)
    assert not any(seen[:800])
    assert all(seen[1050:1200])
    assert not seen[-1]


def test_damaged_bytes_are_a_value_error():
    """What is no panel says so."""
    with pytest.raises(ValueError, match="damaged"):
        Panel.from_bytes(b"\x93\x01")
