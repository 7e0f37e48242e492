"""Answers to fixed prompts, as numbers: what of an answer is compared with earlier answers to the same prompt.

Law of this file: pure. The style of the words, the reward, the embedding and whether the very same words were said
before; never the words themselves, of which only a hash is kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.text.style import RESPONSE_FEATURES, response_style, style_matrix

Floats = NDArray[np.float64]

# Names of what is watched, in order: the style of the words, the reward, the distance from earlier answers.
WATCHED: tuple[str, ...] = (*RESPONSE_FEATURES, "reward", "distance")
DIFFERENT = "different words"


class Answered(msgspec.Struct, frozen=True, array_like=True):
    """An answer to the prompt of this number, at an epoch time; `style` float32 and `embedding` float16 as bytes."""

    prompt: int
    time: float
    style: bytes
    embedding: bytes
    reward: float
    words: bytes


def answered(prompt: int, time: float, text: str, embedding: NDArray[np.float32], reward: float) -> Answered:
    """Take down an answer."""
    style = style_matrix(response_style, [text])[0].astype("<f4").tobytes()
    words = hashlib.blake2b(text.strip().encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return Answered(prompt, time, style, embedding.astype("<f2").tobytes(), float(reward), words)


class Reference(msgspec.Struct, frozen=True):
    """What P prompts used to be answered, K times each: means float64 (P, F) of style and reward, (P, dim) unit vectors.

    `words`: for each prompt the hashes of what was said. `residuals` (P K, F + 1) of all watched numbers, each answer
    against the others to its prompt, in order of time; `different` of `of` answers were unlike all others in words.
    """

    prompts: int
    means: bytes
    centres: bytes
    near: bytes
    words: tuple[frozenset[bytes], ...]
    residuals: bytes
    different: int
    of: int


def make_reference(answers: Sequence[Answered], prompts: int) -> Reference:
    """Make a reference of at least two answers to each prompt."""
    numbers, vectors = numbers_of(answers), _vectors(answers)
    asked = np.array([answer.prompt for answer in answers])
    means, centres, near = [], [], []
    residuals = np.zeros((len(answers), len(WATCHED)))
    different, words = 0, []
    for prompt in range(prompts):
        rows = np.flatnonzero(asked == prompt)
        mine, k = numbers[rows], len(rows)
        total, sum_of = mine.sum(axis=0), vectors[rows].sum(axis=0)
        # Each against the mean of the others; scaled to how a new answer varies around the mean of all.
        left = (mine - (total - mine) / (k - 1)) * np.sqrt((k + 1) * (k - 1)) / k
        far = np.array([_distance(vector, sum_of - vector) for vector in vectors[rows]])
        residuals[rows, :-1], residuals[rows, -1] = left, far - far.mean()
        means.append(mine.mean(axis=0))
        centres.append(_unit(sum_of))
        near.append(float(far.mean()))
        said = [answers[row].words for row in rows.tolist()]
        different += sum(said.count(each) == 1 for each in said)
        words.append(frozenset(said))
    return Reference(
        prompts,
        np.array(means).tobytes(),
        np.array(centres).tobytes(),
        np.array(near).tobytes(),
        tuple(words),
        residuals.tobytes(),
        different,
        len(answers),
    )


def residual_of(reference: Reference, answer: Answered) -> tuple[Floats, bool]:
    """Return how an answer differs (F + 1,) from the reference's to its prompt, and whether nobody said it before."""
    means = np.frombuffer(reference.means).reshape(reference.prompts, -1)
    centres = np.frombuffer(reference.centres).reshape(reference.prompts, -1)
    near = np.frombuffer(reference.near)
    left = numbers_of([answer])[0] - means[answer.prompt]
    far = _distance(_vectors([answer])[0], centres[answer.prompt]) - near[answer.prompt]
    return np.concatenate([left, [far]]), answer.words not in reference.words[answer.prompt]


def residuals_of(reference: Reference) -> Floats:
    """Return the reference's own residuals (P K, F + 1), in order of time."""
    return np.frombuffer(reference.residuals).reshape(reference.of, -1)


def numbers_of(answers: Sequence[Answered]) -> Floats:
    """Return style and reward (n, F); no reward is 0, for every answer alike."""
    style = np.stack([np.frombuffer(answer.style, dtype="<f4") for answer in answers]).astype(np.float64)
    reward = np.nan_to_num(np.array([answer.reward for answer in answers]))
    return np.hstack([style, reward[:, None]])


def _vectors(answers: Sequence[Answered]) -> Floats:
    return np.stack([np.frombuffer(answer.embedding, dtype="<f2") for answer in answers]).astype(np.float64)


def _unit(vector: Floats) -> Floats:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0.0 else vector


def _distance(vector: Floats, centre: Floats) -> float:
    return 1.0 - float(_unit(vector) @ _unit(centre))
