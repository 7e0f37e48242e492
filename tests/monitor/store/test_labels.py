"""Evidence about labels in the store: folded once, whole, and with everything that follows."""

from __future__ import annotations

import random

import pytest

from monitor.contract import Feedback, LabelCause, Labels, Tier
from monitor.labels.coincidence import merged
from monitor.labels.contrast import sides
from monitor.labels.judgement import Judgement
from monitor.labels.panel import log_alarm

ALARM = log_alarm(1.0)
DAY = 86400.0


def feedback(n: int, seed: int = 0, accuracy: float = 0.9, start: float = 0.0) -> list[Feedback]:
    """Return judgements of three people, two of each item, on gold items, an hour apart."""
    rng, found = random.Random(seed), []
    for i in range(n):
        truth = "ab"[(i // 2) % 2]
        label = truth if rng.random() < accuracy else "ab"[truth == "a"]
        found.append(
            Feedback(
                exchange=f"{seed}-{i}",
                item=f"{seed}-{i // 2}",
                annotator=f"p{(i + i // 2) % 3}",
                label=label,
                gold=truth,
                time=start + 3600.0 * (i + 1),
                reward=rng.random(),
            )
        )
    return found


def test_nothing_is_folded_before_there_is_a_scheme(store):
    """Fifty judgements say what the labels are; then all of them are folded."""
    store.feedback.add(feedback(49), 1.0, "r")
    assert store.labels.fold("r", ALARM, 1e9) == 0
    store.feedback.add(feedback(50)[49:], 1.0, "r")
    assert store.labels.fold("r", ALARM, 1e9) == 50
    assert store.labels.fold("r", ALARM, 1e9) == 0
    panel = store.labels.panel("r")
    assert panel.judgements == 50
    assert panel.scheme is not None
    assert set(panel.scheme.classes) == {"a", "b"}


def test_what_is_kept_equals_one_pass(store):
    """Events and coincidences from the store are those of the judgements at once, however they came."""
    given = feedback(120)
    for start in range(0, 120, 40):
        store.feedback.add(given[start : start + 40], 1.0, "r")
        store.labels.fold("r", ALARM, 1e9)
    before, after = store.labels.sides("r", 0.0)
    rows = [Judgement(f.item, f.annotator, f.label, f.gold, f.time, f.reward) for f in given]
    whole = sides(store.labels.panel("r").scheme, rows, [])[0]
    assert not before.events
    assert sorted(after.events) == sorted(whole.events)
    assert merged(after.blocks) == merged(whole.blocks)


def test_feedback_waits_a_minute_for_a_reward(store):
    """So that people can be compared with the reward model even where it lags."""
    bare = [Feedback(exchange=f"x{i}", label="ab"[i % 2], time=float(i + 1)) for i in range(60)]
    store.feedback.add(bare, 100.0, "r")
    assert store.labels.fold("r", ALARM, 150.0) == 0
    assert store.labels.fold("r", ALARM, 160.0) == 60


def test_the_window_is_the_last_week_or_the_newest_quarter(store):
    """Where all is younger than a week, a part of it is compared with the rest."""
    store.feedback.add(feedback(100), 1.0, "r")
    store.labels.fold("r", ALARM, 1e9)
    now = 100 * 3600.0
    assert store.labels.boundary("r", now, 2 * DAY, 20) == now - 2 * DAY
    assert store.labels.boundary("r", now, 7 * DAY, 20) == pytest.approx(75 * 3600.0)
    assert store.labels.boundary("nobody", now, 7 * DAY, 20) == now - 7 * DAY


def test_changes_of_the_verdict_make_history(store):
    """The tier, the cause or `drifted`; the words alone do not."""
    first = Labels(tier=Tier.OK, headline="a")
    assert store.labels.save("r", first, 1.0)
    assert not store.labels.save("r", Labels(tier=Tier.OK, headline="b"), 2.0)
    worse = Labels(tier=Tier.MINOR, drifted=True, cause=LabelCause.ANNOTATOR)
    assert store.labels.save("r", worse, 3.0)
    assert store.labels.verdict("r") == worse
    assert store.labels.verdicts() == {"r": worse}
    assert [at for at, _ in store.labels.history("r")] == [3.0, 1.0]


def test_beginning_anew_forgets_the_evidence_and_keeps_the_history(store):
    """What was accepted as usual is no alarm any more."""
    store.feedback.add(feedback(100), 1.0, "r")
    store.labels.fold("r", ALARM, 1e9)
    store.labels.restart("r")
    assert store.labels.panel("r").judgements == 0
    store.feedback.add(feedback(60, seed=1, start=1e6), 2.0, "r")
    assert store.labels.fold("r", ALARM, 1e9) == 60
    with pytest.raises(KeyError):
        store.labels.restart("nobody")


def test_what_another_version_left_is_as_good_as_none(store):
    """Evidence and verdicts that cannot be read begin anew."""
    store.database.execute("INSERT INTO label_panels VALUES ('r', ?, ?)", (b"\xc1", b"\xc1"))
    assert store.labels.panel("r").scheme is None
    assert store.labels.verdict("r") is None
    assert store.labels.verdicts() == {}


def test_old_events_go(store):
    """With the retention of everything else."""
    store.feedback.add(feedback(60), 1.0, "r")
    store.labels.fold("r", ALARM, 1e9)
    store.labels.forget(10 * DAY)
    before, after = store.labels.sides("r", 0.0)
    assert not before.events
    assert not after.events
    assert store.labels.panel("r").judgements == 60
