"""What one label says of who gave it."""

from __future__ import annotations

import pytest

from monitor.labels.judgement import OTHER, Earlier, Judgement, Scheme, consensus, events_of, order

CLASSES = Scheme.learn(["good"] * 30 + ["bad"] * 20)
SCALE = Scheme.learn([str(1 + i % 10) for i in range(60)])


def kinds(events):
    """Return kind, annotator and wrong of events."""
    return [(e.kind, e.annotator, e.wrong) for e in events]


def test_a_scheme_is_learnt_from_the_labels():
    """Few values are classes, many numbers a scale with cuts and a tolerance."""
    assert CLASSES.classes == ("good", "bad")
    assert CLASSES.level == "nominal"
    assert SCALE.cuts == (3.0, 6.0, 8.0)
    assert SCALE.level == "interval"
    assert SCALE.tolerance == pytest.approx(1.436, abs=1e-3)


def test_scores_differ_beyond_the_tolerance():
    """A point on a scale of ten is no error; a word is."""
    assert not SCALE.differ("7", "8")
    assert SCALE.differ("7", "9")
    assert SCALE.differ("garbage", "9")
    assert CLASSES.differ("good", "bad")


def test_strata_and_questions():
    """Every label has a place, also one never seen before."""
    assert [SCALE.stratum(label) for label in ("1", "3", "10", "tie")] == ["q0", "q1", "q3", OTHER]
    assert CLASSES.stratum("tie") == OTHER
    assert SCALE.indicators("7") == {">=3": True, ">=6": True, ">=8": False}
    assert CLASSES.indicators("bad") == {"good": False}


def test_a_gold_label_decides():
    """Wrong or right within the class of the gold label."""
    label, gold = events_of(CLASSES, Judgement("i", "anna", "bad", "good", 5.0), [])
    assert kinds([label, gold]) == [("label", "anna", False), ("gold", "anna", True)]
    assert gold.stratum == "good"


def test_the_second_label_of_an_item_tells_of_both():
    """Either may be wrong where two differ; one side of it is an echo."""
    _, mine, theirs = events_of(CLASSES, Judgement("i", "anna", "bad"), [Earlier("ben", "good")])
    assert kinds([mine, theirs]) == [("peer", "anna", True), ("peer", "ben", True)]
    assert (mine.partner, theirs.partner, mine.echo, theirs.echo) == ("ben", "anna", False, True)


def test_with_more_labels_the_majority_decides():
    """A tie decides nothing; a scale's reference is the median."""
    earlier = [Earlier("ben", "good"), Earlier("cleo", "good"), Earlier("dan", "bad")]
    events = events_of(CLASSES, Judgement("i", "anna", "bad"), earlier)
    assert kinds(events) == [("label", "anna", False), ("peer", "anna", True)]
    assert len(events_of(CLASSES, Judgement("i", "anna", "bad"), earlier[1:])) == 1
    assert consensus(SCALE, ["2", "9", "3"]) == "3"
    assert consensus(SCALE, []) is None


def test_the_same_annotator_again_is_compared_with_themselves():
    """Self-consistency is no agreement with others."""
    events = events_of(
        CLASSES, Judgement("i", "anna", "bad"), [Earlier("anna", "good"), Earlier("ben", "good")]
    )
    assert kinds(events) == [("label", "anna", False), ("self", "anna", True)]
    unknown = events_of(CLASSES, Judgement("i", "", "bad"), [Earlier("", "good")])
    assert [e.kind for e in unknown] == ["label", "peer", "peer"]


@pytest.mark.parametrize(
    ("label", "place"), [("3.5", 3.5), ("Good", 1.0), ("thumbs_down", 0.0), ("maybe", None)]
)
def test_some_labels_have_an_order(label: str, place: float | None):
    """Numbers and the usual words."""
    assert order(label) == place
