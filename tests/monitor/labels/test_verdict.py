"""The verdict on labels: evidence and size, cause and words."""

from __future__ import annotations

import random

from monitor.contract import Direction, LabelCause, Tier
from monitor.contract.config import Thresholds
from monitor.labels.contrast import sides
from monitor.labels.judgement import Judgement, Scheme, events_of
from monitor.labels.measures import Side
from monitor.labels.panel import Panel, log_alarm, take
from monitor.labels.verdict import RULES, Found, found_live, label_verdict

SCHEME = Scheme.learn(["a", "b"] * 25)
GOLD = Found(drifted=True, kinds=frozenset({"gold"}), since=7.0)


def judged(n, seed, accuracy=0.9, worse=(), share=0.5):
    """Return gold judgements of five people, of whom `worse` are right in 0.6 of the cases."""
    rng = random.Random(seed)
    rows = []
    for i in range(n):
        who, truth = f"p{rng.randrange(5)}", "b" if rng.random() < share else "a"
        label = truth if rng.random() < (0.6 if who in worse else accuracy) else "ab"[truth == "a"]
        rows.append(Judgement(f"{seed}-{i}", who, label, truth, 3600.0 * i))
    return rows


def verdict(before, after, found, **kwargs):
    """Judge with the thresholds as shipped."""
    return label_verdict(SCHEME, *sides(SCHEME, before, after), found, thresholds=Thresholds(), **kwargs)


def test_little_is_learning_or_blind_and_never_ok():
    """Without a scheme or history there is nothing to compare with, without a window nothing to compare."""
    empty = label_verdict(None, Side(()), Side(()), Found(drifted=False), thresholds=Thresholds())
    assert empty.tier is Tier.LEARNING
    assert verdict(judged(5, 0), judged(50, 1), Found(drifted=False)).tier is Tier.LEARNING
    few = verdict(judged(100, 0), judged(5, 1), Found(drifted=False))
    assert (few.tier, few.cause) == (Tier.BLIND, LabelCause.UNCERTAIN)


def test_no_evidence_is_ok_whatever_the_size():
    """An effect without evidence is noise."""
    found = verdict(judged(300, 0), judged(40, 1, accuracy=0.7), Found(drifted=False))
    assert (found.tier, found.drifted, found.cause) == (Tier.OK, False, LabelCause.NONE)
    assert "no evidence" in found.headline


def test_one_annotator_who_got_worse_is_named():
    """Evidence, size, direction, cause and who."""
    found = verdict(judged(800, 0), judged(400, 1, worse={"p3"}), GOLD)
    assert (found.tier, found.direction, found.cause) == (
        Tier.MINOR,
        Direction.DEGRADED,
        LabelCause.ANNOTATOR,
    )
    assert "p3: right in" in found.headline
    assert found.since == 7.0
    assert found.annotators[0].moved
    assert any("gold accuracy" in reason for reason in found.reasons)


def test_everybody_worse_by_fifteen_points_is_critical():
    """Gold accuracy has the thresholds that rewards have."""
    found = verdict(judged(800, 0), judged(400, 1, accuracy=0.65), GOLD)
    assert (found.tier, found.cause) == (Tier.CRITICAL, LabelCause.GUIDELINE)
    better = verdict(judged(800, 0, accuracy=0.7), judged(400, 1, accuracy=0.95), GOLD)
    assert (better.tier, better.direction) == (Tier.IMPROVED, Direction.IMPROVED)


def test_another_task_raises_nothing():
    """Labels that moved because other things are labelled are reported and no worry."""
    found = verdict(judged(800, 0), judged(400, 1, share=0.8), GOLD._replace(kinds=frozenset({"label"})))
    assert (found.tier, found.drifted, found.cause) == (Tier.OK, True, LabelCause.TASK)


def test_what_cannot_be_known_is_said():
    """No gold labels, or nobody named."""
    bare = [row._replace(annotator="", gold=None) for row in judged(100, 0)]
    found = verdict(bare, bare, Found(drifted=False))
    assert any("gold" in caveat for caveat in found.caveats)
    assert any("not named" in caveat for caveat in found.caveats)


def test_live_evidence_names_the_kinds_that_hold_it():
    """A panel without an alarm shows nothing; one with it shows gold, and when it began."""
    events = [
        event
        for i, row in enumerate([*judged(700, 0), *judged(300, 1, accuracy=0.6)])
        for event in events_of(SCHEME, row._replace(time=3600.0 * i), [])
    ]
    alarm = log_alarm(1.0)
    assert not found_live(take(Panel(SCHEME), events[:200], alarm), alarm, events).drifted
    found = found_live(take(Panel(SCHEME), events, alarm), alarm, events)
    assert "gold" in found.kinds
    assert found.since is not None
    assert abs(found.since / 3600.0 - 700) < 40


def test_every_signal_has_a_rule():
    """The table is complete."""
    rows = judged(200, 0)
    known = {row._replace(item=row.item.split("-")[1], reward=0.5) for row in rows}
    assert set(verdict(rows, sorted(known), GOLD).signals) <= set(RULES)
