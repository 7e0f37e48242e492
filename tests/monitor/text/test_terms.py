"""The words that name a group are those that set it apart."""

from __future__ import annotations

import numpy as np

from monitor.text.terms import top_terms


def test_each_group_is_named_by_its_own_words():
    """Frequent here and rare elsewhere: the shared word names neither group."""
    texts = ["please book a flight to paris"] * 10 + ["please bake a chocolate cake"] * 10
    flights, cakes = top_terms(texts, np.repeat([0, 1], 10), 2)
    assert {"flight", "paris", "book"} == set(flights)
    assert {"bake", "cake", "chocolate"} == set(cakes)


def test_a_word_of_a_single_text_names_nothing():
    """A peculiar word does not stand for a group of many."""
    texts = ["river stone"] * 9 + ["river zyzzyva"] + ["paper cloud"] * 10
    assert "zyzzyva" not in top_terms(texts, np.repeat([0, 1], 10), 2)[0]


def test_groups_without_texts_or_words_have_no_terms():
    """An empty group, and texts of nothing but stop words or signs, have no name."""
    assert top_terms(["river stone", "river stone"], np.array([0, 0]), 2)[1] == ()
    assert top_terms(["the of and", "?!"], np.array([0, 1]), 2) == ((), ())
    assert top_terms([], np.zeros(0, dtype=np.intp), 2) == ((), ())


def test_words_of_other_scripts_count():
    """Letters are letters in any alphabet."""
    assert "привет" in top_terms(["привет мир"] * 5 + ["hello world"] * 5, np.repeat([0, 1], 5), 2)[0]
