"""How much moved, with intervals."""

from __future__ import annotations

import random

import pytest

from monitor.labels.contrast import sides
from monitor.labels.judgement import Event, Judgement, Scheme
from monitor.labels.measures import Side, difference, measure, standardised

SCHEME = Scheme.learn(["a", "b"] * 25)


def gold(n: int, wrong: int, stratum: str = "a") -> list[Event]:
    """Return gold comparisons of one class."""
    return [Event(0.0, "x", "gold", stratum, "a", wrong=i < wrong) for i in range(n)]


def test_a_harder_mix_is_no_worse_accuracy():
    """Shares of right labels are compared in the later mix of classes."""
    before, after = [*gold(80, 4, "a"), *gold(20, 8, "b")], [*gold(20, 1, "a"), *gold(80, 32, "b")]
    was, now = standardised(before, after)
    assert was == pytest.approx(now)
    assert now == pytest.approx(1 - 33 / 100)
    assert standardised(gold(10, 1, "a"), gold(10, 5, "c")) == (0.9, 0.5)


def test_the_interval_of_a_difference():
    """Agresti and Caffo's: a pseudo-success and failure each; never outside what is possible by much."""
    (low, high), p = difference(0.9, 100, 0.75, 100)
    assert low < -0.15 < high < 0.0
    assert p == pytest.approx(0.00525, abs=1e-4)
    assert difference(1.0, 20, 1.0, 20)[1] == 1.0


def test_signals_of_what_there_is():
    """Gold, peers, self, labels and alpha; a signal without events is absent."""
    rng = random.Random(0)
    rows = []
    for i in range(400):
        truth = rng.choice("ab")
        label = truth if rng.random() < 0.9 else "ab"[truth == "a"]
        rows.append(Judgement(str(i // 2), rng.choice("xyz"), label, truth, float(i)))
    found = measure(SCHEME, *sides(SCHEME, rows[:200], rows[200:]))
    assert {"gold_accuracy", "peer_agreement", "label_shift", "annotator_agreement"} <= set(found)
    assert "reward_agreement" not in found
    accuracy = found["gold_accuracy"]
    assert accuracy.interval is not None
    assert accuracy.interval[0] <= 0.0 <= accuracy.interval[1]
    assert "AC1" in found["annotator_agreement"].note


def test_a_scale_moves_by_its_mean():
    """In standard deviations of what was; total variation beside it."""
    scheme = Scheme.learn([str(1 + i % 10) for i in range(100)])
    before = Side([Event(0.0, "x", "label", "", str(1 + i % 10), wrong=False) for i in range(100)])
    after = Side([e._replace(label=str(max(1, int(e.label) - 2))) for e in before.events])
    shift = measure(scheme, before, after)["label_shift"]
    assert shift.baseline_mean == pytest.approx(5.5)
    assert shift.window_mean == pytest.approx(3.8, abs=0.1)
    assert shift.effect == pytest.approx(-0.6, abs=0.05)
    assert shift.value > 0.15


def test_words_on_a_scale_are_left_out_of_its_mean():
    """A judge's garbage is no number; too few numbers have no mean."""
    scheme = Scheme.learn([str(1 + i % 10) for i in range(100)])
    words = Side([Event(0.0, "x", "label", "", "garbage", wrong=False) for _ in range(50)])
    assert "label_shift" not in measure(scheme, words, words)
