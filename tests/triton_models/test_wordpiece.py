"""WordPiece against its reference implementation, and its own laws."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scoring import wordpiece
from scoring.wordpiece import WordPieces, split_words

tokenizers = pytest.importorskip("tokenizers")

TEXTS = [
    "Hello, world! It's 12:30 — isn't it?",
    "def f(x):\n    return x**2  # squared\n",
    "Größe café naïve ÀÉÎ Straße",
    "我想问一个问题。混合 english 和中文",
    "満座ビーチ ガギグ 한국어",
    "Привет, как дела? שלום مرحبا",
    "antidisestablishmentarianism supercalifragilistic qzxjkvw",
    "a" * 99 + " " + "b" * 101,
    "tabs\tand\r\nlines\u00a0and\u2003spaces",
    "",
    "   ",
]


@pytest.fixture(scope="module")
def vocabulary(weights):
    """Read the shipped pieces."""
    return (weights / "vocabulary.txt").read_text(encoding="utf-8").split("\n")[:-1]


@pytest.fixture(scope="module")
def pieces(vocabulary):
    """Encode with the shipped pieces."""
    return WordPieces(vocabulary)


@pytest.fixture(scope="module")
def reference(vocabulary):
    """Build BERT's uncased tokeniser from the same pieces."""
    model = tokenizers.models.WordPiece(
        {piece: index for index, piece in enumerate(vocabulary)},
        unk_token="[UNK]",
        max_input_chars_per_word=100,
    )
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    return tokenizer


@pytest.mark.parametrize("text", TEXTS)
def test_equals_the_reference(pieces, reference, text):
    """Prose, code, accents, ideographs, other scripts, long and unknown words give the reference's ids."""
    assert pieces.encode(text).tolist() == reference.encode(text).ids


def _documented_difference(character: str) -> bool:
    """Tell the characters that are treated otherwise on purpose: controls, symbols, marks beyond accents."""
    kind = unicodedata.category(character)
    return kind in {"Cc", "Cf", "Cs", "Co", "Cn"} or (kind[0] in "SNM" and not character.isascii())


# Latin, Greek, Cyrillic, Armenian; beyond them versions of Unicode disagree about what is punctuation.
_letters = st.characters(max_codepoint=0x058F).filter(lambda c: c in "\t\n" or not _documented_difference(c))


@given(st.text(alphabet=_letters, max_size=60))
def test_equals_the_reference_on_any_letters_and_punctuation(pieces, reference, text):
    """Random letters, digits and punctuation of European scripts give the reference's ids."""
    assert pieces.encode(text).tolist() == reference.encode(text).ids


def test_a_symbol_does_not_hide_the_word_beside_it():
    """An arrow or an emoji is a word of its own."""
    assert split_words("Yes→no 👍great") == ["yes", "→", "no", "👍", "great"]


def test_what_was_seen_before_changes_nothing(vocabulary, monkeypatch):
    """When the table of known words is full it starts anew; the pieces stay the same."""
    monkeypatch.setattr(wordpiece, "_REMEMBERED", 3)
    few, fresh = WordPieces(vocabulary), WordPieces(vocabulary)
    words = [f"unheardof{i}word" for i in range(20)]
    seen = [few.encode(word).tolist() for word in words]
    assert seen == [few.encode(word).tolist() for word in words] == [fresh.encode(w).tolist() for w in words]
    assert len(few._known) <= len(vocabulary) + 3


def test_equals_the_reference_on_real_answers(pieces, reference):
    """Real answers without the characters that differ on purpose give the reference's ids, and they are the most."""
    path = Path(os.environ.get("DRIFTGATE_DATA", "../shared/data")) / "reward_train.jsonl.gz"
    if not path.is_file():
        pytest.skip(f"no data at {path}")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["response"] for line in itertools.islice(lines, 0, 20_000, 20)]
    alike = [text for text in texts if not any(_documented_difference(c) for c in set(text) - {"\t", "\n"})]
    assert len(alike) > 0.9 * len(texts)
    for text in alike:
        assert pieces.encode(text).tolist() == reference.encode(text).ids
