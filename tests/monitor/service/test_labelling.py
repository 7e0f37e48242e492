"""From feedback to a verdict on labels beside that on the exchanges."""

from __future__ import annotations

import random

import msgspec

from monitor.contract import Direction, Feedback, LabelCause, Tier, Verdict
from monitor.contract.config import Detection
from monitor.service.labelling import Labelling

HOUR = 3600.0


def feedback(n: int, start: int = 0, worse: str = "", seed: int = 0) -> list[Feedback]:
    """Return gold judgements of four people, one of whom may be worse."""
    rng, found = random.Random(seed), []
    for i in range(start, start + n):
        who, truth = f"p{rng.randrange(4)}", rng.choice("ab")
        right = rng.random() < (0.5 if who == worse else 0.92)
        label = truth if right else "ab"[truth == "a"]
        found.append(
            Feedback(
                exchange=f"x{i}", annotator=who, label=label, gold=truth, time=HOUR * (i + 1), reward=0.5
            )
        )
    return found


def verdicts() -> list[Verdict]:
    """Return verdicts of both arms of a route."""
    return [Verdict(route="r", arm=arm, tier=Tier.OK, time=0.0) for arm in ("control", "candidate")]


def test_without_feedback_there_is_no_verdict_on_it(store):
    """Nothing is added to anything."""
    assert all(verdict.labels is None for verdict in Labelling(store, Detection()).told(verdicts(), 10.0))


def test_from_learning_to_the_annotator_who_changed(store):
    """Few judgements are learning, many without a change ok, and then one who changed is found and named."""
    labelling = Labelling(store, Detection())
    store.feedback.add(feedback(60), 0.0, "r")
    assert labelling.told(verdicts(), 60 * HOUR)[0].labels.tier in {Tier.LEARNING, Tier.OK, Tier.BLIND}
    store.feedback.add(feedback(740, start=60, seed=1), 0.0, "r")
    control, candidate = labelling.told(verdicts(), 800 * HOUR)
    assert (control.labels.tier, control.labels.drifted) == (Tier.OK, False)
    assert candidate.labels is None
    store.feedback.add(feedback(400, start=800, worse="p2", seed=2), 0.0, "r")
    found = labelling.told(verdicts(), 1200 * HOUR)[0].labels
    assert (found.drifted, found.cause) == (True, LabelCause.ANNOTATOR)
    assert found.annotators[0].name == "p2"
    assert abs(found.since / HOUR - 800) < 60
    assert [verdict.drifted for _, verdict in store.labels.history("r")][:2] == [True, False]


def test_a_verdict_is_kept_until_there_is_something_new(store):
    """Nothing is computed while nothing comes, but for once a minute."""
    labelling = Labelling(store, Detection())
    store.feedback.add(feedback(100), 0.0, "r")
    first = labelling.told(verdicts(), 100 * HOUR)[0].labels
    store.labels.save("r", first.__class__(tier=Tier.MINOR), 0.0)
    assert labelling.told(verdicts(), 100 * HOUR + 30)[0].labels.tier is Tier.MINOR
    assert labelling.told(verdicts(), 100 * HOUR + 90)[0].labels == first


def test_a_gain_is_withdrawn_where_people_disagree(store):
    """The reward says improved, the people rate the answers lower: minor, on the control arm alone."""
    labelling = Labelling(store, Detection())
    rng = random.Random(4)
    for start, n, share in ((0, 600, 0.7), (600, 300, 0.3)):
        said = [
            Feedback(
                exchange=f"x{i}",
                annotator=f"p{i % 3}",
                label="good" if rng.random() < share else "bad",
                time=HOUR * (i + 1),
                reward=0.5,
            )
            for i in range(start, start + n)
        ]
        store.feedback.add(said, 0.0, "r")
    gained = [
        msgspec.structs.replace(v, tier=Tier.IMPROVED, direction=Direction.IMPROVED) for v in verdicts()
    ]
    control, candidate = labelling.told(gained, 900 * HOUR)
    assert control.labels.drifted
    assert (control.tier, control.direction) == (Tier.MINOR, Direction.NEUTRAL)
    assert "people rate the answers lower" in control.headline
    assert candidate.tier is Tier.IMPROVED
