"""Style features of an exchange: what an answer looks like, whatever it is about.

Law of this file: pure and cheap (tens of microseconds for 1 kB); one table names every feature in order, and its
version changes with any change of meaning, because trained heads depend on it. Counts enter as logarithms or shares
and length saturates, so that no head can be pleased by length without bound.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

VERSION = 1
# Beyond this many characters length adds nothing.
SATURATION_CHARS = 2_000

_COUNTED = ("\n\n", "\n-", "\n*", "**", "\n#", "```", "?", "!", ",", ":", "(", '"', ". ", "|", "'")
_LISTED = re.compile(r"\n\s*\d+[.)]")
_REFUSING = ("i'm sorry", "i am sorry", "i cannot", "i can't", "as an ai", "unable to", "i don't have")
_TURNING = ("however", "for example", "such as", "overall", "additionally", "important", "here", "sure")
_TERMINAL = frozenset('.!?:)`"*|]}>')

LENGTH_FEATURES = ("chars", "chars_squared", "chars_ratio", "short")
FEATURES = (
    *LENGTH_FEATURES,
    "prompt_chars",
    "prompt_question",
    "prompt_newlines",
    *(f"count {token!r}" for token in _COUNTED),
    "numbered",
    "lines",
    "line_repeats",
    "refusing",
    *(f"says {word!r}" for word in _TURNING),
    "starts_blank",
    "starts_lower",
    "ends_open",
    "non_ascii",
    "piece_variety",
    "piece_overlap",
    "piece_novelty",
)


def style_features(
    prompt: str, response: str, prompt_pieces: NDArray[np.int32], response_pieces: NDArray[np.int32]
) -> list[float]:
    """Return one value for each of FEATURES."""
    size = len(response)
    lowered = response.lower()
    lines = response.split("\n")
    chars = math.log1p(min(size, SATURATION_CHARS))
    return [
        chars,
        chars * chars,
        chars - math.log1p(min(len(prompt), SATURATION_CHARS)),
        float(size < 80),
        math.log1p(min(len(prompt), SATURATION_CHARS)),
        float("?" in prompt),
        math.log1p(prompt.count("\n")),
        *[math.log1p(response.count(token)) for token in _COUNTED],
        math.log1p(len(_LISTED.findall(response))),
        math.log1p(len(lines)),
        1.0 - len(set(lines)) / len(lines),
        float(any(phrase in lowered for phrase in _REFUSING)),
        *[float(word in lowered) for word in _TURNING],
        float(response[:1].isspace()),
        float(response[:1].islower()),
        float(response[-1:] not in _TERMINAL),
        float(not response.isascii()),
        *_piece_features(prompt_pieces, response_pieces),
    ]


def _piece_features(prompt: NDArray[np.int32], response: NDArray[np.int32]) -> list[float]:
    asked, said = set(prompt.tolist()), set(response[:200].tolist())
    shared = len(asked & said)
    return [
        len(said) / (1 + min(len(response), 200)),
        shared / (1 + len(asked)),
        math.log1p(len(said) - shared),
    ]


def style_matrix(
    prompts: Sequence[str],
    responses: Sequence[str],
    prompt_pieces: Sequence[NDArray[np.int32]],
    response_pieces: Sequence[NDArray[np.int32]],
) -> NDArray[np.float32]:
    """Return float32 (n, len(FEATURES))."""
    rows = [
        style_features(*row) for row in zip(prompts, responses, prompt_pieces, response_pieces, strict=True)
    ]
    return np.asarray(rows, dtype=np.float32).reshape(len(rows), len(FEATURES))
