"""The scorer's test double: deterministic, instant, no models.

Law of this file: a text's embedding is a unit vector drawn from the hash of its words, so equal texts are equal,
texts that share words are near, and nothing depends on order. The reward grows with the words that prompt and
response share. It is meant for tests and for exercising the path, never for a verdict.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from monitor.scorer import ScorerUnavailable, Scores


class FakeScorer:
    """Scores without models; `down` makes it unavailable and `refuse` makes single exchanges fail."""

    def __init__(self, dim: int = 16, refuse: str = "\x00refuse") -> None:
        """Take the embeddings' dimension and the text that marks an exchange to be refused."""
        self.dim = dim
        self.refuse = refuse
        self.down = False
        self.identity = f"fake-{dim}"

    def score(self, prompts: Sequence[str], responses: Sequence[str | None]) -> Scores:
        """Score n exchanges. Raises ScorerUnavailable while `down`."""
        if self.down:
            raise ScorerUnavailable("the fake scorer is down")
        prompt, response = self._embed(prompts), self._embed([text or "" for text in responses])
        reward = np.array(
            [_overlap(a, b) for a, b in zip(prompts, responses, strict=True)], dtype=np.float32
        ).reshape(-1)
        errors = {row: "refused" for row, text in enumerate(prompts) if self.refuse in text}
        for row in errors:
            prompt[row], response[row], reward[row] = 0.0, 0.0, np.nan
        return Scores(prompt, response, reward, errors)

    def close(self) -> None:
        """Hold nothing, release nothing."""

    def _embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        for index, text in enumerate(texts):
            for word in text.lower().split():
                rows[index] += _direction(word, self.dim)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        np.divide(rows, norms, out=rows, where=norms > 0)
        return rows


@lru_cache(maxsize=4096)
def _direction(word: str, dim: int) -> NDArray[np.float32]:
    seed = int.from_bytes(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest(), "little")
    return np.random.default_rng(seed).standard_normal(dim).astype(np.float32)


def _overlap(prompt: str, response: str | None) -> float:
    if response is None:
        return float("nan")
    asked, said = set(prompt.lower().split()), set(response.lower().split())
    return (1 + len(asked & said)) / (2 + len(asked | said))
