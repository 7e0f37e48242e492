"""The shipped reward head: a linear score of embeddings and style features, squashed into (0, 1).

Law of this file: numpy alone; a row depends on its own exchange. The head belongs to one embedding and one version
of the style features and refuses to load with others. What it was trained on, what it can rank and what it must not
be used for stands in MODEL_CARD.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .safetensors_file import content_hash, read_safetensors
from .static import StaticEmbedder, load_static
from .style import FEATURES, VERSION, style_matrix
from .wordpiece import WordPieces

# A feature beyond this many standard deviations of the training answers counts as that many.
CLIP = 3.0


class Read(NamedTuple):
    """Texts that were already split by `reader`, so that the head need not split them again."""

    reader: object
    prompts: Sequence[Any]
    responses: Sequence[Any]


class Rewarder(Protocol):
    """Prompts and responses in, rewards out."""

    identity: str

    def reward(
        self, prompts: Sequence[str], responses: Sequence[str], read: Read | None = None
    ) -> NDArray[np.float32]:
        """Return float32 (n,)."""


class HeadWeights(NamedTuple):
    """What training leaves: float32 vectors. `weight` lies over style, prompt, response, product, in this order."""

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


class RewardHead:
    """Exchanges -> win probabilities."""

    def __init__(self, embedder: StaticEmbedder, weights: HeadWeights, identity: str) -> None:
        """Take the embedding that the weights were trained with; it is the head's own (see MODEL_CARD.md)."""
        self.embedder = embedder
        self.identity = identity
        self._weights = weights

    def reward(
        self, prompts: Sequence[str], responses: Sequence[str], read: Read | None = None
    ) -> NDArray[np.float32]:
        """Return the chance that a judge prefers each answer to a typical answer to the same prompt."""
        own = self.embedder
        if read is None or read.reader is not own.reader:
            read = Read(own.reader, own.read(prompts), own.read(responses))
        style = style_matrix(responses, read.prompts, read.responses)
        given = inputs(style, own.embed_read(read.prompts), own.embed_read(read.responses), self._weights)
        # Row by row, so that a row is the same in any batch; a matrix product would not promise that.
        logits = np.einsum("ij,j->i", given, self._weights.weight)
        result: NDArray[np.float32] = 1.0 / (1.0 + np.exp(-(logits + self._weights.bias)))
        return result.astype(np.float32)


def inputs(
    style: NDArray[np.float32],
    prompt: NDArray[np.float32],
    response: NDArray[np.float32],
    weights: HeadWeights,
) -> NDArray[np.float32]:
    """Return float32 (n, features + 3 dim): standardised and clipped style, embeddings, their product."""
    dim = prompt.shape[1]
    standard = np.clip((style - weights.mean) / weights.scale, -CLIP, CLIP)
    # Rows of unit length have entries of 1/sqrt(dim); the factors give every input about unit variance.
    scale = np.float32(np.sqrt(dim))
    return np.hstack([standard, scale * prompt, scale * response, dim * (prompt * response) / 4])


def load_reward(folder: Path, reader: WordPieces) -> RewardHead:
    """Load `reward.safetensors` and the embedding that it reads. Raises OSError, or ValueError when it belongs to another embedding or features."""
    path = folder / "reward.safetensors"
    embedder = load_static(folder, reader, "reward_embedding")
    tensors, metadata = read_safetensors(path)
    expected = {"embedding": embedder.identity, "style_version": str(VERSION)}
    for key, value in expected.items():
        if metadata.get(key) != value:
            raise ValueError(f"{path}: was trained with {key} {metadata.get(key)!r}, here it is {value!r}")
    weights = HeadWeights(**{name: _vector(tensors, name, path) for name in HeadWeights._fields})
    if len(weights.mean) != len(FEATURES) or len(weights.weight) != len(FEATURES) + 3 * embedder.dim:
        raise ValueError(f"{path}: has weights for another number of features")
    return RewardHead(embedder, weights, f"head:{content_hash(path)}")


def _vector(tensors: dict[str, NDArray[Any]], name: str, path: Path) -> NDArray[np.float32]:
    if name not in tensors:
        raise ValueError(f"{path}: lacks the tensor `{name}`")
    return tensors[name].astype(np.float32).ravel()
