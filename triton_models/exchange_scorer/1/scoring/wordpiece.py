"""WordPiece as BERT's uncased tokeniser does it, at the cost of one dictionary look-up a word.

Law of this file: pure; a text gives the same pieces whatever was seen before. Words are found by one regular
expression and looked up in a bounded table of known words; an unseen word is split by greedy longest match (Devlin
et al. 2019; section 4.1 of Wu et al. 2016) and remembered. Pieces are kept as little-endian int32 bytes, so that a
text's pieces are one `bytes.join`.

Differences from the reference implementation, all of them deliberate: control characters separate words where the
reference deletes them, and a symbol that is not punctuation in Unicode (such as an arrow or an emoji) is a word of
its own, so that it cannot hide the word beside it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

UNKNOWN = "[UNK]"
_CONTINUED = "##"
_LONGEST_WORD = 100
# Words remembered beside the vocabulary; about 100 bytes each.
_REMEMBERED = 100_000
# Ideographs stand alone (the blocks that the reference lists).
_IDEOGRAPH = (
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002b73f"
    "\U0002b740-\U0002b81f\U0002b820-\U0002ceaf\U0002f800-\U0002fa1f"
)
_ASCII_WORDS = re.compile(r"[a-z0-9]+|[^\sa-z0-9\x00-\x20\x7f]")
_WORDS = re.compile(rf"[{_IDEOGRAPH}]|[^\W_{_IDEOGRAPH}]+|[^\w\s\x00-\x1f\x7f]|_")


def split_words(text: str) -> list[str]:
    """Lower-case, strip accents, and split into words and single punctuation marks."""
    text = text.lower()
    if text.isascii():
        return _ASCII_WORDS.findall(text)
    decomposed = unicodedata.normalize("NFD", text)
    marks = [c for c in set(decomposed) if not c.isascii() and unicodedata.category(c) == "Mn"]
    return _WORDS.findall(decomposed.translate(dict.fromkeys(map(ord, marks))) if marks else decomposed)


class _Known(dict[str, bytes]):
    """Word -> its pieces; an unseen word is split once and remembered while there is room."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        super().__init__()
        self._pieces = {piece: index for index, piece in enumerate(vocabulary)}
        self._unknown = _packed([self._pieces[UNKNOWN]])
        self._fill()

    def _fill(self) -> None:
        self.update(
            (piece, _packed([index]))
            for piece, index in self._pieces.items()
            if not piece.startswith(_CONTINUED)
        )

    def __missing__(self, word: str) -> bytes:
        pieces = self._split(word)
        if len(self) >= len(self._pieces) + _REMEMBERED:
            self.clear()
            self._fill()
        self[word] = pieces
        return pieces

    def _split(self, word: str) -> bytes:
        if len(word) > _LONGEST_WORD:
            return self._unknown
        found, start, prefix = [], 0, ""
        while start < len(word):
            end = len(word)
            while end > start and prefix + word[start:end] not in self._pieces:
                end -= 1
            if end == start:
                return self._unknown
            found.append(self._pieces[prefix + word[start:end]])
            start, prefix = end, _CONTINUED
        return _packed(found)


class WordPieces:
    """Text -> piece ids."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        """Take the pieces in id order; one of them must be `[UNK]`."""
        self.size = len(vocabulary)
        self._known = _Known(vocabulary)

    def encode(self, text: str) -> NDArray[np.int32]:
        """Return the ids of the text's pieces, empty for blank text."""
        return np.frombuffer(b"".join(map(self._known.__getitem__, split_words(text))), dtype="<i4")


def _packed(ids: Sequence[int]) -> bytes:
    return np.asarray(ids, dtype="<i4").tobytes()
