"""Style features of an answer: how it is written, whatever it is about and however long it is.

Law of this file: pure and cheap (tens of microseconds for 1 kB); one table names every feature in order, and VERSION
changes with any change of meaning, because trained heads depend on it. What is left out is deliberate: length, and
layout (lists, headings, bold, code), because a head that sees them ranks models by them and prefers any model that
writes much and formats it. Counts enter as logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

VERSION = 1

_COUNTED = ("?", "!", ",", "(", ". ")
_REFUSING = ("i'm sorry", "i am sorry", "i cannot", "i can't", "as an ai", "unable to", "i don't have")
_SAYING = ("however", "for example", "such as", "overall", "additionally", "important", "here", "sure")
_TERMINAL = frozenset(".!?:)`\"'*|]}>")
# Pieces that variety and overlap look at, so that neither depends on length beyond a paragraph or two.
_PIECES = 200

FEATURES = (
    "blank",
    *(f"count {token!r}" for token in _COUNTED),
    "line_repeats",
    "refusing",
    *(f"says {word!r}" for word in _SAYING),
    "ends_open",
    "piece_variety",
    "piece_overlap",
)


def style_features(
    response: str, prompt_pieces: NDArray[np.int32], response_pieces: NDArray[np.int32]
) -> list[float]:
    """Return one value for each of FEATURES."""
    lowered = response.lower()
    lines = response.split("\n")
    asked = set(prompt_pieces[:_PIECES].tolist())
    said = set(response_pieces[:_PIECES].tolist())
    return [
        float(not said),
        *[math.log1p(response.count(token)) for token in _COUNTED],
        1.0 - len(set(lines)) / len(lines),
        float(any(phrase in lowered for phrase in _REFUSING)),
        *[float(word in lowered) for word in _SAYING],
        float(response[-1:] not in _TERMINAL),
        len(said) / (1 + min(len(response_pieces), _PIECES)),
        len(asked & said) / (1 + len(asked)),
    ]


def style_matrix(
    responses: Sequence[str],
    prompt_pieces: Sequence[NDArray[np.int32]],
    response_pieces: Sequence[NDArray[np.int32]],
) -> NDArray[np.float32]:
    """Return float32 (n, len(FEATURES))."""
    rows = [style_features(*row) for row in zip(responses, prompt_pieces, response_pieces, strict=True)]
    return np.asarray(rows, dtype=np.float32).reshape(len(rows), len(FEATURES))
