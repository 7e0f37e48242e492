"""One look at two sets of labels: exact level, and what it sees."""

from __future__ import annotations

import random

from monitor.labels.contrast import contrast, sides
from monitor.labels.judgement import Judgement, Scheme

SCHEME = Scheme.learn(["a", "b"] * 25)


def labelled(n, rng, *, items=None, accuracy=0.9, share=0.5, gold=False, who=("x", "y", "z"), prefix=""):
    """Return labels of people, of `items` given again or of items of their own."""
    found = []
    for i in range(n):
        item = f"{prefix}{i}" if items is None else f"{rng.randrange(items)}"
        truth = "b" if random.Random(item).random() < share else "a"
        label = truth if rng.random() < accuracy else "ab"[truth == "a"]
        found.append(Judgement(item, rng.choice(who), label, truth if gold else None))
    return found


def p(before, after, **kwargs):
    """Return the p-value."""
    return contrast(SCHEME, before, after, **kwargs).p_value


def test_no_difference_is_seldom_seen():
    """Of 20 pairs of like sets few are below 0.1, with shared items and without."""
    rng = random.Random(0)
    shared = [p(labelled(150, rng, items=60), labelled(150, rng, items=60)) for _ in range(10)]
    apart = [p(labelled(150, rng, prefix="A"), labelled(150, rng, prefix="B")) for _ in range(10)]
    assert sum(value < 0.1 for value in shared + apart) <= 6


def test_noise_on_the_same_items_is_seen_without_gold():
    """People near chance agree less with the others, though they say a and b as often."""
    rng = random.Random(1)
    before, after = labelled(600, rng, items=80), labelled(600, rng, items=80, accuracy=0.55)
    tested = contrast(SCHEME, before, after)
    assert tested.p_value < 0.005
    assert tested.kinds["peer"] < 0.005
    assert tested.same_items < 0.005


def test_gold_labels_are_a_comparison_of_their_own():
    """Right by gold falls, on items of their own."""
    rng = random.Random(2)
    before = labelled(400, rng, gold=True, prefix="A")
    after = labelled(400, rng, gold=True, prefix="B", accuracy=0.75)
    tested = contrast(SCHEME, before, after)
    assert tested.kinds["gold"] < 0.005
    assert tested.same_items == 1.0


def test_other_items_alone_are_no_evidence_where_items_are_shared():
    """Within shared items nothing moved; that the mix of items did is seen across the others only."""
    rng = random.Random(3)
    shared = [labelled(300, rng, items=60) for _ in range(2)]
    mixed = [*shared[1], *labelled(300, rng, share=0.95, prefix="new ")]
    tested = contrast(SCHEME, [*shared[0], *labelled(300, rng, share=0.5, prefix="old ")], mixed)
    assert tested.p_value < 0.005
    assert tested.same_items > 0.01


def test_scores_move_by_their_mean():
    """Every score a point lower: seen on a scale as well."""
    rng = random.Random(4)
    scheme = Scheme.learn([str(1 + i % 10) for i in range(100)])
    before = [Judgement(str(i), "j", str(rng.randint(3, 9))) for i in range(200)]
    after = [row._replace(annotator="k", label=str(int(row.label) - 1)) for row in before]
    tested = contrast(scheme, before, after)
    assert tested.p_value < 0.005
    assert tested.kinds["label"] == tested.p_value


def test_nothing_to_compare_is_no_difference():
    """One side alone, or the same label everywhere."""
    rows = [Judgement(str(i), "x", "a") for i in range(30)]
    assert p(rows, []) == 1.0
    assert p(rows, [row._replace(item=f"n{row.item}") for row in rows]) == 1.0


def test_the_sides_hold_events_and_coincidences():
    """Each side by itself: comparisons and blocks of different items."""
    rng = random.Random(5)
    before, after = sides(SCHEME, labelled(200, rng, items=40, gold=True), labelled(50, rng, items=10))
    assert len(before.of("label")) == len(before.of("gold")) == 200
    assert len(before.of("peer")) + len(before.of("self")) > 100
    assert len(before.blocks) == 20
    assert sum(bool(block.cells) for block in before.blocks) >= 15
    assert not after.of("gold")
