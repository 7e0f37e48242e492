"""The scorer: texts in, embeddings and rewards out.

One protocol; `TritonScorer` asks a Triton server, `LocalScorer` runs the same model code in this process, and
`FakeScorer` is the test double. All raise `ScorerUnavailable` when no answer can be had now, and report what is
wrong with a single exchange in `Scores.errors` without failing the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Scores(NamedTuple):
    """What scoring n exchanges returns.

    `prompt` and `response`: float32 (n, dim), unit length, a zero row where there is no text or an error.
    `reward`: float32 (n,), NaN where there is no response or an error. `errors`: index -> message.
    """

    prompt: NDArray[np.float32]
    response: NDArray[np.float32]
    reward: NDArray[np.float32]
    errors: dict[int, str]


class ScorerUnavailable(RuntimeError):
    """No score can be had now (server down, deadline passed); the message says why. Try again later."""


class Scorer(Protocol):
    """Texts in, scores out."""

    @property
    def identity(self) -> str:
        """Name and content hash of the models; scores of different identities are never compared."""

    def score(self, prompts: Sequence[str], responses: Sequence[str | None]) -> Scores:
        """Score n exchanges (two sequences of equal length). Raises ScorerUnavailable."""

    def close(self) -> None:
        """Release connections."""
