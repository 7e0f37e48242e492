"""Who changed: one annotator, everybody, the task, the rewards."""

from __future__ import annotations

import random

import pytest

from monitor.contract import LabelCause
from monitor.labels.cause import change, diagnose, onset
from monitor.labels.judgement import Event, Judgement, Scheme, events_of
from monitor.labels.measures import Side
from monitor.labels.panel import Panel, log_alarm, take

SCHEME = Scheme.learn(["a", "b"] * 25)


def judged(n, rng, *, accuracy=lambda _: 0.9, flip=0.0, share=0.5, gold=True, people=5, start=0.0):
    """Return events of people who are right so often, call b what is a in `flip` of its cases, on b in `share`."""
    events: list[Event] = []
    for i in range(n):
        who = rng.randrange(people)
        truth = "b" if rng.random() < share else "a"
        label = truth if rng.random() < accuracy(who) else "ab"[truth == "a"]
        label = "b" if truth == "a" and rng.random() < flip else label
        new = Judgement(str(i), f"p{who}", label, truth if gold else None, start + i)
        events += events_of(SCHEME, new, [])
    return events


def test_one_annotator_and_everybody_are_told_apart():
    """Of 30 seeded changes each, the cause is the true one in at least 28."""
    right = {LabelCause.ANNOTATOR: 0, LabelCause.GUIDELINE: 0}
    for seed in range(30):
        rng = random.Random(seed)
        before = Side(judged(1500, rng))
        one = Side(judged(300, rng, accuracy=lambda who: 0.65 if who == 2 else 0.9))
        found = diagnose(before, one, {"gold"})
        right[LabelCause.ANNOTATOR] += (
            found.cause is LabelCause.ANNOTATOR and found.annotators[0].name == "p2"
        )
        everybody = diagnose(before, Side(judged(150, rng, flip=0.25)), {"gold"})
        right[LabelCause.GUIDELINE] += everybody.cause is LabelCause.GUIDELINE
        assert everybody.cell == "a>b"
    assert min(right.values()) >= 28


def test_other_work_is_the_task():
    """More of one class, everybody as right as before."""
    rng = random.Random(1)
    before, after = Side(judged(1500, rng)), Side(judged(300, rng, share=0.8))
    assert diagnose(before, after, {"label"}).cause is LabelCause.TASK
    bare = [Side([e for e in side.events if e.kind == "label"]) for side in (before, after)]
    assert diagnose(*bare, {"label"}).cause is LabelCause.UNCERTAIN
    assert diagnose(*bare, {"label"}, texts_moved=True).cause is LabelCause.TASK
    assert diagnose(*bare, {"label"}, same_items=True, texts_moved=True).cause is LabelCause.GUIDELINE


def test_newcomers_are_annotators_unless_the_others_changed_too():
    """Who gave no label before is blamed for what is new with them."""
    rng = random.Random(2)
    before = Side(judged(600, rng))
    new = [e._replace(annotator="new") for e in judged(200, rng, accuracy=lambda _: 0.6)]
    few = new[:4]
    assert diagnose(Side([*before.events, *few]), Side(new), {"gold"}).cause is LabelCause.ANNOTATOR
    with_old = Side([*new, *judged(100, rng, flip=0.5)])
    assert diagnose(before, with_old, {"gold"}).cause is LabelCause.GUIDELINE


def test_rewards_alone_are_the_scorer():
    """People agree as before, and less with the reward model."""
    rng = random.Random(3)
    sides = Side(judged(200, rng)), Side(judged(200, rng))
    assert diagnose(*sides, {"reward"}).cause is LabelCause.SCORER
    assert diagnose(*sides, set()).cause is LabelCause.NONE


def test_one_annotator_alone_cannot_be_told_from_the_guideline():
    """Nobody else is there to tell it by."""
    rng = random.Random(4)
    before, after = (Side(judged(400, rng, people=1, accuracy=lambda _, a=a: a)) for a in (0.95, 0.6))
    assert diagnose(before, after, {"gold"}).cause is LabelCause.UNCERTAIN


def test_evidence_of_change_has_no_direction_and_doubts_little_data():
    """Nothing against nothing is no evidence; the same rate speaks against a change."""
    rng = random.Random(5)
    old = [e for e in judged(500, rng) if e.kind == "gold"]
    worse = [e for e in judged(100, rng, accuracy=lambda _: 0.6) if e.kind == "gold"]
    assert change(old, worse) > 5.0
    assert change(old, old[:200]) < 0.0
    assert change(old, []) == 0.0


def test_the_onset_is_found_near_the_change():
    """The likeliest split of the richest stream, within a few events."""
    rng = random.Random(6)
    early, late = (
        judged(900, rng),
        judged(250, rng, accuracy=lambda who: 0.5 if who == 0 else 0.9, start=900.0),
    )
    minutes = [e._replace(time=e.time * 3600) for e in (*early, *late)]
    panel = take(Panel(SCHEME), minutes, log_alarm(1.0))
    found = onset(panel, minutes)
    assert found is not None
    assert found / 3600 == pytest.approx(900, abs=40)
    assert onset(Panel(), minutes) is None
