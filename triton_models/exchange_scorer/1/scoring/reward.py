"""The shipped reward head: a linear score of how an answer is written, squashed into (0, 1).

Law of this file: numpy alone; a row depends on its own exchange. The head belongs to one version of the style
features and refuses to load with another. What it was trained on, what it can rank, how far it errs and what it must
not be used for stands in MODEL_CARD.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .safetensors_file import content_hash, read_safetensors
from .style import FEATURES, VERSION, style_matrix

# A feature beyond this many standard deviations of the training answers counts as that many.
CLIP = 3.0


class Rewarder(Protocol):
    """Prompts and responses in, rewards out."""

    identity: str

    def reward(self, prompts: Sequence[str], responses: Sequence[str]) -> NDArray[np.float32]:
        """Return float32 (n,)."""


class HeadWeights(NamedTuple):
    """What training leaves: float32 vectors (features,), `bias` (1,)."""

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


class RewardHead:
    """Exchanges -> win probabilities."""

    def __init__(self, weights: HeadWeights, identity: str) -> None:
        """Take the weights and the name that changes with them."""
        self.identity = identity
        self._weights = weights

    def reward(
        self,
        prompts: Sequence[str],  # noqa: ARG002 - the protocol's; this head reads answers alone
        responses: Sequence[str],
    ) -> NDArray[np.float32]:
        """Return the chance that a judge prefers each answer to a typical answer to the same prompt."""
        return rewards(style_matrix(responses), self._weights)


def standardised(style: NDArray[np.float32], weights: HeadWeights) -> NDArray[np.float32]:
    """Return float32 (n, features): in standard deviations of the training answers, clipped."""
    scaled: NDArray[np.float32] = np.clip((style - weights.mean) / weights.scale, -CLIP, CLIP)
    return scaled


def rewards(style: NDArray[np.float32], weights: HeadWeights) -> NDArray[np.float32]:
    """Return float32 (n,) in (0, 1)."""
    # Row by row, so that a row is the same in any batch; a matrix product would not promise that.
    logits = np.einsum("ij,j->i", standardised(style, weights), weights.weight)
    result: NDArray[np.float32] = 1.0 / (1.0 + np.exp(-(logits + weights.bias)))
    return result.astype(np.float32)


def load_reward(folder: Path) -> RewardHead:
    """Load `reward.safetensors`. Raises OSError, or ValueError when it belongs to other features."""
    path = folder / "reward.safetensors"
    tensors, metadata = read_safetensors(path)
    version = metadata.get("style_version")
    if version != str(VERSION):
        raise ValueError(f"{path}: was trained with style_version {version!r}, here it is {str(VERSION)!r}")
    weights = HeadWeights(**{name: _vector(tensors, name, path) for name in HeadWeights._fields})
    if any(len(vector) != len(FEATURES) for vector in weights[:3]):
        raise ValueError(f"{path}: has weights for another number of features")
    return RewardHead(weights, f"head:{content_hash(path)}")


def _vector(tensors: dict[str, NDArray[Any]], name: str, path: Path) -> NDArray[np.float32]:
    if name not in tensors:
        raise ValueError(f"{path}: lacks the tensor `{name}`")
    return tensors[name].astype(np.float32).ravel()
