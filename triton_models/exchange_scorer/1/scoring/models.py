"""From a model's parameters to the pair that scores: an embedder and a rewarder.

Law of this file: `Models` is all that a Triton model or a process needs to hold. Families differ only in how the
pair is opened; the parameters are documented in the repository's README.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .parameters import DEFAULTS, whole_number
from .reward import Rewarder, load_reward
from .static import load_reader, load_static
from .text import check_sizes, read_text


class Embedder(Protocol):
    """Texts in, unit rows out."""

    identity: str
    dim: int

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return float32 (n, dim), a zero row for blank text."""


class ExchangeScores(NamedTuple):
    """float32 (n, dim), float32 (n, dim) with a zero row where there is no response, float32 (n,) with NaN there."""

    prompt: NDArray[np.float32]
    response: NDArray[np.float32]
    reward: NDArray[np.float32]


class Models:
    """The embedder and the rewarder of one model repository."""

    def __init__(self, embedder: Embedder, rewarder: Rewarder, most_bytes: int) -> None:
        """Take the pair and the largest text accepted, in bytes."""
        self.embedder = embedder
        self.rewarder = rewarder
        self.most_bytes = most_bytes
        self.identity = f"{embedder.identity}+{rewarder.identity}"

    def embed(self, texts: Sequence[str | bytes]) -> NDArray[np.float32]:
        """Embed n texts. Raises TextRefused."""
        check_sizes(texts, self.most_bytes)
        return self.embedder.embed([read_text(text) for text in texts])

    def reward(self, prompts: Sequence[str | bytes], responses: Sequence[str | bytes]) -> NDArray[np.float32]:
        """Reward n responses. Raises TextRefused."""
        check_sizes(prompts, self.most_bytes)
        check_sizes(responses, self.most_bytes)
        return self.rewarder.reward([read_text(t) for t in prompts], [read_text(t) for t in responses])

    def score(
        self, prompts: Sequence[str | bytes], responses: Sequence[str | bytes | None]
    ) -> ExchangeScores:
        """Score n exchanges. Raises TextRefused."""
        there = [row for row, response in enumerate(responses) if response is not None]
        given = [response for response in responses if response is not None]
        check_sizes(prompts, self.most_bytes)
        check_sizes(given, self.most_bytes)
        asked, said = [read_text(text) for text in prompts], [read_text(text) for text in given]
        n, dim = len(asked), self.embedder.dim
        prompt = self.embedder.embed(asked)
        response = np.zeros((n, dim), dtype=np.float32)
        reward = np.full(n, np.nan, dtype=np.float32)
        if there:
            response[there] = self.embedder.embed(said)
            reward[there] = self.rewarder.reward([asked[row] for row in there], said)
        return ExchangeScores(prompt, response, reward)


def open_models(parameters: Mapping[str, str], weights: Path, device: str = "cpu") -> Models:
    """Open the pair that `parameters` describe; `weights` is the folder of the shipped ones.

    `device` is `cpu` or a CUDA device such as `cuda:0`. Raises ValueError naming the parameter, OSError or
    ImportError when something it needs is absent.
    """
    unknown = sorted(set(parameters) - set(DEFAULTS))
    if unknown:
        raise ValueError(f"unknown model parameter `{unknown[0]}`; known: {', '.join(DEFAULTS)}")
    chosen = {**DEFAULTS, **parameters}
    most_bytes = whole_number(chosen, "max_text_bytes")
    if chosen["family"] == "static":
        folder = Path(chosen["embedder_model"] or weights)
        embedder = load_static(folder, load_reader(folder))
        return Models(embedder, load_reward(Path(chosen["reward_model"] or weights)), most_bytes)
    if chosen["family"] == "huggingface":
        from .huggingface import open_huggingface  # noqa: PLC0415 - torch is an extra

        encoder, rewarder = open_huggingface(chosen, device)
        return Models(encoder, rewarder, most_bytes)
    raise ValueError(f"model parameter `family` is {chosen['family']!r}; expected `static` or `huggingface`")
