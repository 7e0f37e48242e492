"""Alpha as published, and matrices that add up."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.labels.coincidence import Coincidence, Level, jackknife, merged, numeric

# Krippendorff (2011), example C: four observers, twelve units, missing data.
OBSERVERS = (
    (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
    (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
    (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
    (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
)
UNITS = [[str(v) for v in unit if v is not None] for unit in zip(*OBSERVERS, strict=True)]
items = st.lists(st.sampled_from("ab3"), max_size=5)
matrices = st.lists(items, max_size=6).map(lambda units: merged([Coincidence.of_item(u) for u in units]))


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_the_published_example(level: Level, alpha: float):
    """The three values that the paper prints, to its three digits."""
    found = merged([Coincidence.of_item(unit) for unit in UNITS]).alpha(level)
    assert found == pytest.approx(alpha, abs=5e-4)


def test_the_published_binary_example():
    """Krippendorff (2011), example A: two observers, ten binary units, alpha 0.095."""
    a, b = "0100000010", "1110010000"
    whole = merged([Coincidence.of_item(pair) for pair in zip(a, b, strict=True)])
    assert whole.alpha() == pytest.approx(0.095, abs=5e-4)


@settings(max_examples=60, deadline=None)
@given(matrices, matrices, matrices)
def test_merging_is_addition(a: Coincidence, b: Coincidence, c: Coincidence):
    """Associative, commutative, with an identity and an inverse; bytes bring the same matrix back."""
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert a.merge(b) == b.merge(a)
    assert a.merge(Coincidence()) == a
    assert a.merge(b).without(b) == a
    assert Coincidence.from_bytes(a.to_bytes()) == a


@settings(max_examples=40, deadline=None)
@given(items, st.sampled_from("ab3"))
def test_a_late_label_equals_an_early_one(labels: list[str], late: str):
    """Taking an item back and adding it with one more label is the item as it is now."""
    whole = Coincidence.of_item(labels)
    now = whole.without(Coincidence.of_item(labels)).merge(Coincidence.of_item([*labels, late]))
    assert now == Coincidence.of_item([*labels, late])


def test_damaged_bytes_are_a_value_error():
    """What is no matrix says so."""
    with pytest.raises(ValueError, match="damaged"):
        Coincidence.from_bytes(b"\xc1")


def test_prevalence_does_not_fool_ac1_and_pabak():
    """Ninety of a hundred items unanimous on one label: alpha is near nothing, AC1 and PABAK are not."""
    units = [("0", "0")] * 90 + [("0", "1")] * 5 + [("1", "0")] * 5
    found = merged([Coincidence.of_item(u) for u in units]).agreement()
    assert found.observed == pytest.approx(0.9)
    assert found.alpha is not None
    assert found.alpha < 0.0
    assert found.pabak == pytest.approx(0.8)
    # Gwet's chance agreement is 2 q (1 - q) with q = 0.05: (0.9 - 0.095) / (1 - 0.095).
    assert found.ac1 == pytest.approx(0.8895, abs=1e-4)


def test_nothing_labelled_twice_has_no_alpha():
    """One label an item says nothing of agreement; one value everywhere is agreement."""
    assert Coincidence.of_item(["1"]).agreement().alpha is None
    assert Coincidence().alpha() is None
    assert Coincidence.of_item(["1", "1"]).agreement() == (2.0, 1.0, 1.0, 1.0, 1.0, 1.0)


def test_words_differ_nominally_at_any_level():
    """A label that is no number has no distance."""
    whole = merged([Coincidence.of_item(u) for u in (["tie", "1"], ["1", "1"], ["2", "2"])])
    assert whole.alpha("interval") == whole.alpha("nominal")
    assert numeric("nan") is None


def test_the_interval_covers():
    """Of 200 seeded panels about 95 in 100 intervals hold the population's alpha."""
    rng, hits = random.Random(3), 0
    accuracy, rate, n = 0.85, 0.4, 300
    same = accuracy**2 + (1 - accuracy) ** 2
    share = rate * accuracy + (1 - rate) * (1 - accuracy)
    truth = 1 - (1 - same) / (2 * share * (1 - share))
    for _ in range(200):
        blocks = [Coincidence() for _ in range(10)]
        for i in range(n):
            true = rng.random() < rate
            labels = [str(int(true == (rng.random() < accuracy))) for _ in range(2)]
            blocks[i % 10] = blocks[i % 10].merge(Coincidence.of_item(labels))
        _, interval = jackknife(blocks)
        assert interval is not None
        hits += interval[0] <= truth <= interval[1]
    assert 182 <= hits <= 199


def test_few_blocks_have_no_interval():
    """Three blocks, or no difference at all, tell no spread."""
    block = Coincidence.of_item(["1", "2"])
    assert jackknife([block] * 3)[1] is None
    assert jackknife([Coincidence.of_item(["1", "1"])] * 9) == (1.0, None)
    assert np.isfinite(jackknife([block] * 4)[0] or 0.0)
