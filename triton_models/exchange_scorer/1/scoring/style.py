"""Style features of an answer: how it is written, whatever it is about.

Law of this file: pure and cheap (tens of microseconds for 1 kB); `FEATURES` names every feature in order, and VERSION
changes with any change of meaning, because the trained head depends on it. It is the head's own table, frozen with
its weights: the monitor's style features may change without it. What is left out is deliberate: length and layout
(lists, headings, bold, code), because a head that sees them ranks models by them. `vocabulary` is measured against
the root of the number of words; fuller answers still have more of it (see MODEL_CARD.md), repeating oneself does not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

VERSION = 2

_REFUSAL = re.compile(
    rb"\b(?:i(?:'m| am) (?:sorry|afraid|unable|not able|not (?:comfortable|allowed|permitted))|i apologi[sz]e|"
    rb"(?:i|we) (?:can(?:not|'t| not)|won't|will not|must decline|decline to|am not going to)|"
    rb"as an? (?:ai|artificial intelligence|language model|responsible)|"
    rb"(?:it is|it's|is) not (?:appropriate|ethical|possible for me)|"
    rb"(?:against|violates?) (?:my|our|the) (?:guidelines|policy|policies|programming)|"
    rb"not able to (?:assist|help|provide|answer))"
)
# A refusal shows in an answer's first bytes.
_OPENING = 240

# Groups of words counted in one pass; a word belongs to at most one group.
_GROUPS: dict[str, str] = {
    "second_person": "you your yours you're you'll you've yourself",
    "connective": "however therefore additionally furthermore moreover overall finally firstly secondly thus hence "
    "consequently ultimately meanwhile nevertheless first second third next then also instead because since while "
    "although",
    "function": "the of and to a in it that for on with as this by or an at from not have has had but which can will "
    "their its they he she his her if when there so than into more other some such only these those do does would "
    "should must about what who how all any each no",
    "negation": "don't can't cannot won't isn't doesn't didn't wasn't aren't never nothing none neither nor without",
    "courtesy": "sure certainly please thank thanks welcome hope glad happy feel great absolutely course definitely",
    "emphasis": "important essential crucial key significant very really highly extremely vital critical ensure",
}
_NO_GROUP = 255
_GROUP_OF = {word.encode(): i for i, words in enumerate(_GROUPS.values()) for word in words.split()}

# Digits, commas, capital starts, passives, hedging, the first person, apologies and forms of *to be* were tried and
# left out: their weights changed sign when one family of training models was left out.
FEATURES: tuple[str, ...] = (
    "blank",
    "words_per_sentence",
    "word_length",
    "capitals",
    "colons",
    "quotes",
    "brackets",
    "exclamations",
    "questions",
    "non_ascii",
    "refusal",
    "repetition",
    "vocabulary",
    "unfinished",
    *_GROUPS,
)
BLANK = (1.0, *[0.0] * (len(FEATURES) - 1))

_SPACES, _CAPITALS = b" \n\t\r", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_HIGH = bytes(range(128, 256))
# Everything but letters, digits, the apostrophe and multi-byte characters separates words.
_SEPARATE = bytes(c if chr(c).isalnum() or c in b"'" or c > 127 else 32 for c in range(256))
_SENTENCE_ENDS = (b". ", b".\n", b"! ", b"!\n", b"? ", b"?\n", b"\xe3\x80\x82")


def style_features(response: str) -> Sequence[float]:
    """Return one value for each of FEATURES: a share, a rate a word or a sentence, or a logarithm."""
    raw = response.encode("utf-8", "replace")
    if not raw or raw.isspace():
        return BLANK
    lower = raw.lower().replace(b"\xe2\x80\x99", b"'")
    words = lower.translate(_SEPARATE).split()
    groups = bytes(map(_GROUP_OF.get, words, repeat(_NO_GROUP)))  # one byte a word: counting is a memory scan
    size, count = len(raw), raw.count
    per_word = 1.0 / (len(words) or 1)
    sentences = (sum(map(count, _SENTENCE_ENDS)) + raw.rstrip().endswith((b".", b"!", b"?"))) or 1
    return [
        0.0,
        math.log1p(len(words) / sentences),
        (size - _size_of(raw, _SPACES)) * per_word,
        _size_of(raw, _CAPITALS) / size,
        (count(b":") + count(b";")) * per_word,
        (count(b'"') + count(b"\xe2\x80\x9c")) * per_word,
        count(b"(") * per_word,
        math.log1p(count(b"!")),
        math.log1p(count(b"?")),
        0.0 if raw.isascii() else _size_of(raw, _HIGH) / size,
        float(_REFUSAL.search(lower[:_OPENING]) is not None),
        _repetition(words),
        math.log((len(set(words)) + 1) / math.sqrt(len(words) + 1)),
        float(_is_unfinished(raw)),
        *(groups.count(group) * per_word for group in range(len(_GROUPS))),
    ]


def style_matrix(responses: Sequence[str]) -> NDArray[np.float32]:
    """Return float32 (n, len(FEATURES))."""
    rows = [style_features(response) for response in responses]
    return np.asarray(rows, dtype=np.float32).reshape(len(rows), len(FEATURES))


def _size_of(raw: bytes, kinds: bytes) -> int:
    return len(raw) - len(raw.translate(None, kinds))


def _repetition(words: Sequence[bytes]) -> float:
    """Share of word triples that occurred before; the loops of a degenerate decoder come near 1."""
    triples = len(words) - 2
    if triples < 1:
        return 0.0
    return 1.0 - len(set(zip(words, words[1:], words[2:]))) / triples  # noqa: B905 - shifted on purpose


def _is_unfinished(raw: bytes) -> bool:
    """Tell whether a text of some length stops without an ending."""
    end = raw.rstrip()[-1:]
    return len(raw) > 80 and (end.isalnum() or end in b",;-")
