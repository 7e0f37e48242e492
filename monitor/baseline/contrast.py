"""Does an answer address its prompt? A projection learnt by contrast: prompts with their own answers against others'.

Law of this file: closed form, no chance, no iteration. Prompts and answers are mapped into one small space such that
those that belong together point the same way and those that do not, on average, nowhere. The map is the minimiser over
linear maps of the spectral contrastive loss -2 E[f(x)·g(y)] + E[(f(x)·g(y'))²], y' being the answer to another prompt
(HaoChen, Wei, Gaidon & Ma 2021): the singular vectors of the whitened cross-covariance (Hotelling 1936), here with a
ridge and with the singular values that chance would make taken off, because a baseline may hold a hundred exchanges.

The *answer fit* is the cosine of the two images less its mean over the baseline's answers: 0 for an answer to anything,
near 1 for one that could belong to no other prompt. Exchanges of the baseline are scored by maps that were learnt
without them (`held_out`), or every new answer would seem to fit worse.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]

FOLDS = 8
# Directions kept: at most so many, and one for each so many exchanges; below the fewest exchanges nothing is learnt.
_MOST, _EXCHANGES_EACH, _FEWEST = 64, 12, 96
# Ridge on the variances, in units of their mean over the directions kept; share of chance's singular values taken off.
_RIDGE, _CHANCE = 0.5, 0.5
# Embeddings are brought down to so many principal axes first: the cost grows with the cube of their number.
_AXES = 256


class Contrast(NamedTuple):
    """The two affine maps float32 into one space: x -> x @ `prompt` + `prompt_shift`, y alike; `centre`: mean image.

    (dim, r), (r,), (dim, r), (r,), (r,); r is 0 where nothing could be learnt, and every fit then 0.
    """

    prompt: Vectors
    prompt_shift: Vectors
    response: Vectors
    response_shift: Vectors
    centre: Vectors

    @property
    def learnt(self) -> bool:
        """Whether there were enough answers to learn anything."""
        return bool(self.prompt.shape[1])

    def fit_of(self, prompts: Vectors, responses: Vectors) -> Floats:
        """Return how well each answer fits its prompt, float64 (n,), from embeddings float32 (n, dim)."""
        # In double precision, so that an exchange's fit does not depend on whom it was folded with.
        asked = _unit(prompts.astype(np.float64) @ self.prompt + self.prompt_shift)
        said = _unit(responses.astype(np.float64) @ self.response + self.response_shift)
        return np.asarray((asked * (said - self.centre)).sum(axis=1), dtype=np.float64)


def no_contrast(dim: int) -> Contrast:
    """Return what is used where too few answers are known to learn anything."""
    nothing, shift = np.zeros((dim, 0), np.float32), np.zeros(0, np.float32)
    return Contrast(nothing, shift, nothing, shift, shift)


def fit_contrast(prompts: Vectors, responses: Vectors) -> Contrast:
    """Learn from n exchanges, embeddings float32 (n, dim), row by row a prompt and its answer."""
    if len(prompts) < _FEWEST:
        return no_contrast(prompts.shape[1])
    reduced = _Reduced(prompts, responses)
    return reduced.learn(reduced.moments(slice(None)))


def held_out_fit(prompts: Vectors, responses: Vectors, fold: NDArray[np.intp]) -> Floats:
    """Return the answer fit (n,) of exchanges, each by a map learnt from the other folds (n,) of `FOLDS` alone."""
    fit = np.zeros(len(prompts))
    if len(prompts) < _FEWEST:
        return fit
    reduced = _Reduced(prompts, responses)
    parts = [reduced.moments(fold == f) for f in range(FOLDS)]
    for f in range(FOLDS):
        rows = fold == f
        others = _added([part for other, part in enumerate(parts) if other != f])
        fit[rows] = reduced.learn(others).fit_of(prompts[rows], responses[rows])
    return fit


class _Moments(NamedTuple):
    """Sums over exchanges, from which a map is learnt: count, first and second moments. Additive."""

    n: float
    x: Floats
    y: Floats
    xx: Floats
    yy: Floats
    xy: Floats


def _added(parts: list[_Moments]) -> _Moments:
    return _Moments(*(sum(column[1:], start=column[0]) for column in zip(*parts, strict=True)))


class _Reduced:
    """Embeddings in the coordinates of their leading principal axes, where these are many; as they are otherwise."""

    def __init__(self, prompts: Vectors, responses: Vectors) -> None:
        # The same for a map of some folds as for that of all: the cosine's size depends on both.
        self._kept = int(np.clip(len(prompts) // _EXCHANGES_EACH, 2, min(_MOST, prompts.shape[1])))
        # Chance alone gives a k-by-k matrix of independent noise singular values up to 2 sqrt(k / n).
        self._chance = 2.0 * _CHANCE * np.sqrt(self._kept / max(1, len(prompts)))
        self._bases = [_basis(prompts), _basis(responses)]
        self._x, self._y = (
            (rows @ basis).astype(np.float64)
            for rows, basis in zip((prompts, responses), self._bases, strict=True)
        )

    def moments(self, rows: NDArray[np.bool_] | slice) -> _Moments:
        x, y = self._x[rows], self._y[rows]
        return _Moments(float(len(x)), x.sum(axis=0), y.sum(axis=0), x.T @ x, y.T @ y, x.T @ y)

    def learn(self, sums: _Moments) -> Contrast:
        n, mean_x, mean_y = sums.n, sums.x / sums.n, sums.y / sums.n
        white_x = _whitening(sums.xx / n - np.outer(mean_x, mean_x), self._kept)
        white_y = _whitening(sums.yy / n - np.outer(mean_y, mean_y), self._kept)
        left, strength, right = np.linalg.svd(white_x.T @ (sums.xy / n - np.outer(mean_x, mean_y)) @ white_y)
        strength = np.sqrt(np.maximum(strength - self._chance, 0.0))
        maps = white_x @ left * strength, white_y @ right.T * strength
        shifts = -mean_x @ maps[0], -mean_y @ maps[1]
        centre = _unit(self._y @ maps[1] + shifts[1]).mean(axis=0)
        prompt, response = (
            (basis @ map_).astype(np.float32) for basis, map_ in zip(self._bases, maps, strict=True)
        )
        return Contrast(
            prompt,
            shifts[0].astype(np.float32),
            response,
            shifts[1].astype(np.float32),
            centre.astype(np.float32),
        )


def _basis(vectors: Vectors) -> Vectors:
    """Return orthonormal columns (dim, at most `_AXES`) that hold nearly all of the vectors' variance."""
    dim = vectors.shape[1]
    if dim <= _AXES:
        return np.eye(dim, dtype=np.float32)
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :_AXES]
    return np.asarray(axes, dtype=np.float32)


def _whitening(covariance: Floats, kept: int) -> Floats:
    variance, axes = np.linalg.eigh(covariance)
    variance, axes = np.maximum(variance[::-1][:kept], 0.0), axes[:, ::-1][:, :kept]
    scale = np.sqrt(variance + _RIDGE * variance.mean() + 1e-12)
    return np.asarray(axes / scale, dtype=np.float64)


def _unit(rows: Floats) -> Floats:
    norms = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    return np.asarray(rows / np.maximum(norms, 1e-9), dtype=np.float64)
