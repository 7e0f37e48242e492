"""A sample depends on ids alone, and shows an excerpt of each exchange."""

from __future__ import annotations

import msgspec
import numpy as np
from scipy.stats import kstest

from monitor.sketch.reservoir import EXCERPT_CHARS, KEPT, Kept, excerpt, priority_of, smallest


def kept(name: str) -> Kept:
    """Make a kept exchange."""
    return Kept(priority_of(name), name, "p", "r", 0, 0, 0.0)


def test_priorities_are_uniform_and_repeatable():
    """Hashes of ids spread evenly over 63 bits, so every exchange has the same chance."""
    priorities = np.array([priority_of(f"exchange-{i}") for i in range(2000)]) / 2**63
    assert kstest(priorities, "uniform").pvalue > 0.01
    assert priority_of("a") == priority_of("a") != priority_of("b")


def test_the_smallest_are_kept_in_order():
    """Eight of many stay, the smallest, each once."""
    items = [kept(str(i % 50)) for i in range(200)]
    sample = smallest(items)
    assert len(sample) == KEPT
    assert [item.priority for item in sample] == sorted({item.priority for item in items})[:KEPT]


def test_excerpts_are_one_short_line():
    """Line breaks go, long texts end in an ellipsis, short ones stay."""
    assert excerpt("a\n b\t c") == "a b c"
    assert excerpt("word " * 1000).endswith("…")
    assert len(excerpt("word " * 1000)) <= EXCERPT_CHARS
    assert excerpt("") == ""


def test_samples_of_older_versions_are_read():
    """What was stored before users and hours were kept has none."""
    old = msgspec.msgpack.encode([1, "id", "p", "r", 2, 3, 0.5])
    assert msgspec.msgpack.decode(old, type=Kept) == Kept(1, "id", "p", "r", 2, 3, 0.5, "", 0)
