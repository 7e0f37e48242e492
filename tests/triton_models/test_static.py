"""The static embedding's laws on the shipped weights."""

from __future__ import annotations

import numpy as np
import pytest
from scoring import static
from scoring.static import load_reader, load_static

TEXTS = ["How do I reset my password?", "", " \n ", "Rust or Go?", "好", "👍", "word " * 3_000]


def test_rows_are_unit_or_zero(models):
    """A blank text is a zero row, every other row has unit length, even where all is unknown."""
    norms = np.linalg.norm(models.embed(TEXTS), axis=1)
    blank = np.array([not text.strip() for text in TEXTS])
    np.testing.assert_allclose(norms[~blank], 1.0, atol=1e-5)
    assert not norms[blank].any()


def test_a_row_does_not_depend_on_the_batch(models):
    """Alone, in a batch, in another order: bit for bit the same row."""
    together = models.embed(TEXTS)
    for index, text in enumerate(TEXTS):
        np.testing.assert_array_equal(models.embed([text])[0], together[index])
    np.testing.assert_array_equal(models.embed(TEXTS[::-1]), together[::-1])


def test_summing_in_parts_changes_nothing_that_matters(models, monkeypatch):
    """A text longer than the gather buffer gives the same direction as one sum."""
    whole = models.embed(["many different words in one long text " * 40])
    monkeypatch.setattr(static, "_AT_ONCE", 7)
    np.testing.assert_allclose(
        models.embed(["many different words in one long text " * 40]), whole, atol=1e-5
    )


def test_meaning_is_nearer_than_words_apart(models):
    """A paraphrase is nearer than another topic."""
    a, near, far = models.embed(
        ["How can I cook an egg?", "What is the way to boil eggs?", "The stock market fell on Monday."]
    )
    assert a @ near > a @ far + 0.2


def test_weights_of_another_vocabulary_are_refused(weights, tmp_path):
    """Rows and pieces that do not belong together end in one message naming the file."""
    (tmp_path / "embedding.safetensors").write_bytes((weights / "embedding.safetensors").read_bytes())
    (tmp_path / "vocabulary.txt").write_text("[UNK]\na\n")
    with pytest.raises(ValueError, match="for the 2 pieces"):
        load_static(tmp_path, load_reader(tmp_path))
