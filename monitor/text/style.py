"""Style of a text as numbers: how it is written, whatever it is about.

Law of this file: pure, a few passes over bytes, no state but tables. Every feature is a share, a rate or a
logarithm, so that texts of different length can be compared and sums stay small. The word lists are English; on
other languages those features stay near zero and the others still work. A feature's name is what reports show.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

# What a text beyond this length adds to its style is not worth the time; the middle is left out.
MAX_CHARS = 6000

_REFUSAL = re.compile(
    rb"\b(?:i(?:'m| am) (?:sorry|afraid|unable|not able|not (?:comfortable|allowed|permitted))|i apologi[sz]e|"
    rb"(?:i|we) (?:can(?:not|'t| not)|won't|will not|must decline|decline to|am not going to)|"
    rb"as an? (?:ai|artificial intelligence|language model|responsible)|"
    rb"(?:it is|it's|is) not (?:appropriate|ethical|possible for me)|"
    rb"(?:against|violates?) (?:my|our|the) (?:guidelines|policy|policies|programming)|"
    rb"not able to (?:assist|help|provide|answer))"
)

# Groups of words counted in one pass; a word belongs to at most one group.
_GROUPS: dict[str, str] = {
    "hedging": "may might could perhaps possibly probably likely seems seem appears appear generally usually often "
    "typically sometimes somewhat approximately roughly maybe suggest suggests potentially depending",
    "first_person": "i i'm i've i'd i'll me my mine myself we our us",
    "second_person": "you your yours you're you'll you've yourself",
    "connective": "however therefore additionally furthermore moreover overall finally firstly secondly thus hence "
    "consequently ultimately meanwhile nevertheless first second third next then also instead because since while "
    "although",
    "function": "the of and to a in it that for on with as this by or an at from not have has had but which can will "
    "their its they he she his her if when there so than into more other some such only these those do does would "
    "should must about what who how all any each no",
    "apology": "sorry apologies apologize apologise unfortunately regret",
    "negation": "don't can't cannot won't isn't doesn't didn't wasn't aren't never nothing none neither nor without",
    "courtesy": "sure certainly please thank thanks welcome hope glad happy feel great absolutely course definitely",
    "emphasis": "important essential crucial key significant very really highly extremely vital critical ensure",
    "be": "is are am was were be been being",
}
_NO_GROUP = 255
_BE = list(_GROUPS).index("be")
_GROUP_OF = {word.encode(): i for i, words in enumerate(_GROUPS.values()) for word in words.split()}
_PARTICIPLES = frozenset(
    b"made done given taken seen known shown written found held kept built sent told left put set chosen broken "
    b"driven grown thrown born bought brought caught taught thought paid said sold".split()
)

RESPONSE_FEATURES: tuple[str, ...] = (
    "length",
    "words_per_sentence",
    "word_length",
    "lines",
    "paragraphs",
    "list_items",
    "headings",
    "bold",
    "code",
    "digits",
    "capitals",
    "commas",
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
    "capital_start",
    "passive",
    *_GROUPS,
)
PROMPT_FEATURES: tuple[str, ...] = (
    "length",
    "word_length",
    "lines",
    "code",
    "digits",
    "capitals",
    "questions",
    "non_ascii",
    "function",
    "first_person",
)


def response_style(text: str) -> list[float]:
    """Return the features of one answer, in the order of `RESPONSE_FEATURES`."""
    raw = clip(text).encode("utf-8", "replace")
    if not raw or raw.isspace():
        return [0.0] * len(RESPONSE_FEATURES)
    lower = raw.lower().replace(b"\xe2\x80\x99", b"'")
    words = _words(lower)
    groups, passive = _count_groups(words)
    size, count = len(raw), raw.count
    per_word = 1.0 / (len(words) or 1)
    sentences = _count_sentences(raw)
    lines = count(b"\n")
    return [
        math.log1p(len(text)),
        math.log1p(len(words) / sentences),
        (size - _size_of(raw, _SPACES)) * per_word,
        math.log1p(lines),
        math.log1p(count(b"\n\n")),
        math.log1p(_count_list_items(raw) if lines else 0),
        math.log1p(count(b"\n#") + raw.startswith(b"#")),
        math.log1p(count(b"**") / 2),
        math.log1p(count(b"`") / 2),
        _size_of(raw, _DIGITS) / size,
        _size_of(raw, _CAPITALS) / size,
        count(b",") * per_word,
        (count(b":") + count(b";")) * per_word,
        (count(b'"') + count(b"\xe2\x80\x9c")) * per_word,
        count(b"(") * per_word,
        math.log1p(count(b"!")),
        math.log1p(count(b"?")),
        0.0 if raw.isascii() else _size_of(raw, _HIGH) / size,
        float(_REFUSAL.search(lower[:240]) is not None),
        _repetition(words),
        _vocabulary(words),
        float(_is_unfinished(raw)),
        float(raw.lstrip()[:1].isupper()),
        passive / sentences,
        *(c * per_word for c in groups),
    ]


def prompt_style(text: str) -> list[float]:
    """Return the features of one prompt, in the order of `PROMPT_FEATURES`."""
    raw = clip(text).encode("utf-8", "replace")
    if not raw or raw.isspace():
        return [0.0] * len(PROMPT_FEATURES)
    words = _words(raw.lower())
    groups, _ = _count_groups(words)
    size, count = len(raw), raw.count
    n = len(words) or 1
    return [
        math.log1p(len(text)),
        (size - _size_of(raw, _SPACES)) / n,
        math.log1p(count(b"\n")),
        math.log1p(count(b"`") + count(b"{") + count(b"=")),
        _size_of(raw, _DIGITS) / size,
        _size_of(raw, _CAPITALS) / size,
        math.log1p(count(b"?")),
        0.0 if raw.isascii() else _size_of(raw, _HIGH) / size,
        groups[list(_GROUPS).index("function")] / n,
        groups[list(_GROUPS).index("first_person")] / n,
    ]


def is_refusal(text: str) -> bool:
    """Tell whether an answer opens by declining; only its first 240 characters are read."""
    return response_style(text[:240])[RESPONSE_FEATURES.index("refusal")] > 0


def style_matrix(features: Callable[[str], list[float]], texts: Iterable[str]) -> NDArray[np.float64]:
    """Return float64 (n, features) of `response_style` or `prompt_style` over n texts."""
    width = len(RESPONSE_FEATURES if features is response_style else PROMPT_FEATURES)
    return np.array([features(text) for text in texts], dtype=np.float64).reshape(-1, width)


def clip(text: str) -> str:
    """Return the text without its middle where it is longer than `MAX_CHARS`."""
    if len(text) <= MAX_CHARS:
        return text
    half = MAX_CHARS // 2
    return f"{text[:half]}\n{text[-half:]}"


_SPACES, _DIGITS, _CAPITALS = b" \n\t\r", b"0123456789", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_HIGH = bytes(range(128, 256))
# Everything but letters, digits, the apostrophe and multi-byte characters separates words.
_SEPARATE = bytes(c if chr(c).isalnum() or c in b"'" or c > 127 else 32 for c in range(256))


def _words(lower: bytes) -> list[bytes]:
    return lower.translate(_SEPARATE).split()


def _size_of(raw: bytes, kinds: bytes) -> int:
    return len(raw) - len(raw.translate(None, kinds))


def _count_sentences(raw: bytes) -> int:
    ends = sum(map(raw.count, (b". ", b".\n", b"! ", b"!\n", b"? ", b"?\n", b"\xe3\x80\x82")))
    return (ends + raw.rstrip().endswith((b".", b"!", b"?"))) or 1


def _count_list_items(raw: bytes) -> int:
    heads = [line.lstrip()[:4] for line in raw.split(b"\n") if line]
    return sum(
        h[:2] in _BULLETS or h.startswith(_BULLET_SIGN) or (h[:1].isdigit() and (b"." in h or b")" in h))
        for h in heads
    )


_BULLETS = frozenset((b"- ", b"* ", b"+ "))
_BULLET_SIGN = "•".encode()


def _count_groups(words: Sequence[bytes]) -> tuple[list[int], int]:
    """Count the words of each group, and forms of *to be* followed by a participle (passive voice)."""
    groups = bytes(map(_GROUP_OF.get, words, repeat(_NO_GROUP)))  # one byte a word: counting is a memory scan
    passive, at = 0, groups.find(_BE)
    while at >= 0:
        passive += any(w.endswith(b"ed") or w in _PARTICIPLES for w in words[at + 1 : at + 3])
        at = groups.find(_BE, at + 1)
    return [groups.count(group) for group in range(len(_GROUPS))], passive


def _repetition(words: Sequence[bytes]) -> float:
    """Share of word triples that occurred before; the loops of a degenerate decoder come near 1."""
    triples = len(words) - 2
    if triples < 1:
        return 0.0
    return 1.0 - len(set(zip(words, words[1:], words[2:], strict=False))) / triples


def _vocabulary(words: Sequence[bytes]) -> float:
    """Distinct words against Heaps' law (about the root of their number), so that length alone does not decide."""
    return math.log((len(set(words)) + 1) / math.sqrt(len(words) + 1))


def _is_unfinished(raw: bytes) -> bool:
    """Tell whether a text of some length stops without an ending."""
    end = raw.rstrip()[-1:]
    return len(raw) > 80 and (end.isalnum() or end in b",;-")
