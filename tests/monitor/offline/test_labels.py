"""Labels in files of exchanges: beside the verdict of compare, and along the stream of backtest."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from monitor.contract import Cause, Direction, Exchange, LabelCause, Labels, Tier, Verdict
from monitor.contract.config import BaselineConfig, Detection
from monitor.offline.compare import compare
from monitor.offline.exchange_file import read_exchanges
from monitor.offline.labels import (
    LabelStream,
    cause_of,
    compare_labels,
    judgements,
    labelled,
    with_labels,
)
from monitor.sketch.scored import Scored


def labels_of(
    n: int, seed: int, *, accuracy: float = 0.9, who: tuple[str, ...] = ("x", "y"), gold=True
) -> Scored:
    """Return scored exchanges that people labelled; five labels an item."""
    rng, found = random.Random(seed), []
    for i in range(n):
        item = rng.randrange(n // 5)
        truth = "good" if item % 2 else "bad"
        label = truth if rng.random() < accuracy else {"good": "bad", "bad": "good"}[truth]
        found.append(
            Exchange(
                id=str(i),
                time=60.0 * i,
                prompt=f"question {item}",
                label=label,
                annotator=rng.choice(who),
                gold=truth if gold else None,
            )
        )
    empty = np.zeros((n, 4), np.float32)
    return Scored(found, empty, empty, np.full(n, np.nan, np.float32), {})


def judged(before: Scored, after: Scored) -> Labels:
    """Judge at the level that labels have."""
    return compare_labels(before, after, alpha=0.005, settings=Detection(), texts_moved=False)


def test_the_same_people_are_no_drift_and_worse_ones_are():
    """Gold says that they got worse; new names, that it is they."""
    before = labels_of(600, 0)
    assert not judged(before, labels_of(600, 1)).drifted
    found = judged(before, labels_of(600, 2, accuracy=0.6, who=("v", "w")))
    assert (found.drifted, found.cause, found.direction) == (True, LabelCause.ANNOTATOR, Direction.DEGRADED)
    assert found.tier is Tier.CRITICAL
    assert judged(labels_of(600, 0, gold=False), labels_of(600, 2, accuracy=0.6, gold=False)).drifted


def test_only_labels_that_moved_speak_for_the_verdict():
    """A verdict with a tier of its own stands; one without takes over that someone should look."""
    ok = Verdict(route="r", arm="control", tier=Tier.OK, time=0.0)
    moved = Labels(tier=Tier.CRITICAL, drifted=True, cause=LabelCause.GUIDELINE, direction=Direction.DEGRADED)
    found = with_labels(ok, moved)
    assert (found.drifted, found.tier, found.cause, found.direction) == (
        True,
        Tier.MINOR,
        Cause.SCORER,
        Direction.DEGRADED,
    )
    assert with_labels(ok, Labels(tier=Tier.OK)).drifted is False
    model = Verdict(route="r", arm="control", tier=Tier.MINOR, time=0.0, drifted=True, cause=Cause.MODEL)
    assert with_labels(model, moved).cause is Cause.MODEL
    blind = Verdict(route="r", arm="control", tier=Tier.BLIND, time=0.0)
    assert with_labels(blind, moved).tier is Tier.BLIND
    assert with_labels(ok, moved).labels == moved


def test_causes_in_the_words_of_verdicts():
    """Who judges is who scores; another task is left to the rest of the verdict."""
    assert cause_of(Labels(tier=Tier.OK)) is Cause.NONE
    for cause, word in ((LabelCause.ANNOTATOR, Cause.SCORER), (LabelCause.TASK, Cause.UNCERTAIN)):
        assert cause_of(Labels(tier=Tier.OK, drifted=True, cause=cause)) is word


def test_a_stream_is_judged_as_it_comes():
    """Learnt from the baseline's labels; the change is raised after it and named."""
    good, bad = labels_of(800, 0), labels_of(500, 1, accuracy=0.6, who=("v", "w"))
    stream = LabelStream(good, Detection())
    changes = list(stream.changes(bad, texts_moved=False))
    assert changes
    row, first = changes[0]
    assert 5 < row < 150
    assert first.drifted
    final = stream.verdict(texts_moved=False)
    assert (final.cause, final.tier) == (LabelCause.ANNOTATOR, Tier.CRITICAL)
    quiet = LabelStream(good, Detection())
    assert not list(quiet.changes(labels_of(500, 2), texts_moved=False))
    assert not quiet.verdict(texts_moved=False).drifted


def test_labels_are_read_from_files(tmp_path: Path):
    """`score` with an annotator is a label; `item` and `gold` come with it; a number is a label's text."""
    path = tmp_path / "f.jsonl"
    path.write_text(
        '{"prompt":"a","label":1,"annotator":"x","item":7,"gold":2.0}\n'
        '{"prompt":"a","score":3.5,"annotator":"x"}\n{"prompt":"a","score":3}\n'
    )
    exchanges, _ = read_exchanges(path)
    assert [(e.label, e.gold, e.item) for e in exchanges] == [
        ("1", "2", "7"),
        ("3.5", None, None),
        (None,) * 3,
    ]


def test_few_labels_are_not_judged():
    """Both sides need some."""
    some = labels_of(60, 0)
    assert labelled(some.exchanges, some.exchanges)
    assert not labelled(some.exchanges[:10], some.exchanges)
    assert len(judgements(some)) == 60
    assert {j.item for j in judgements(some)} != {""}


def test_compare_tells_labels_beside_the_exchanges(traffic, scored):
    """The same texts, other people who say the reverse: drifted, to be looked at, and the scorer is another."""

    def said(seed: int, who: str, *, flipped: bool) -> Scored:
        exchanges = traffic(150, seed=seed)
        return scored(
            [
                replace(e, label="good" if (i % 3 == 0) is not flipped else "bad", annotator=who, reward=None)
                for i, e in enumerate(exchanges)
            ]
        )

    def compared(window: Scored) -> Verdict:
        known = said(1, "anna", flipped=False)
        settings = {"learning": BaselineConfig(clusters=4), "detection": Detection()}
        return compare(known, window, scorer="fake-16", alpha=0.01, now=1.0, **settings)

    same = compared(said(2, "anna", flipped=False))
    assert same.labels is not None
    assert (same.drifted, same.labels.drifted) == (False, False)
    other = compared(said(2, "ben", flipped=True))
    assert (other.drifted, other.cause, other.labels.cause) == (True, Cause.SCORER, LabelCause.ANNOTATOR)
    assert other.tier is Tier.MINOR
    assert "label_shift" in other.signals
