"""The features on which two samples are contrasted, and the strata within which they are.

Law of this file: everything is computed from the pooled exchanges without knowing the labels (but for the strata,
whose purpose they are), so that permuting labels afterwards is exact. Columns are standardised and clipped.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from monitor.baseline.contrast import FOLDS, held_out_fit
from monitor.sketch.features import Features
from monitor.sketch.scored import Scored

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

_AXES = 24
_CLIP = 6.0
# Random Fourier features (Rahimi & Recht 2007) at three bandwidths around the median distance.
_FOURIER, _BANDWIDTHS = 128, (0.5, 1.0, 2.0)
_STRATA = 5
# A stratum with fewer exchanges of either side has no counterpart on the other.
_FEWEST_A_SIDE = 4


class Block(NamedTuple):
    """Features (n, p) whose mean shifts are summarised by their maximum (`peak`) or by their sum of squares."""

    features: Floats
    peak: bool


def traffic_statistics(pooled: Scored, features: Features, rows: Rows) -> list[Block]:
    """Return what is contrasted of the prompts."""
    style, axes = standardise(features.prompt_style[rows]), principal(pooled.prompt[rows])
    return [
        Block(np.hstack([style, thresholds(features.prompt_style[rows])]), peak=True),
        Block(fourier(style), peak=False),
        Block(axes, peak=False),
        Block(fourier(axes[:, :16]), peak=False),
        Block(clusters(pooled.prompt[rows]), peak=True),
    ]


def behaviour_statistics(
    pooled: Scored, features: Features, rows: Rows, *, unconditional: bool, together: Rows | None = None
) -> list[Block]:
    """Return what is contrasted of the responses given their prompts, and without them where that is allowed.

    Exchanges of one number `together` (n,) are held out together.
    """
    style, axes = standardise(features.response_style[rows]), principal(pooled.response[rows])
    cut = thresholds(features.response_style[rows])
    reward = standardise(_known(pooled.reward[rows].astype(np.float64))[:, None])
    free = residual_maker(pooled, features, rows, linear=_linear(unconditional=unconditional))
    style_left, cut_left = standardise(free @ style), standardise(free @ cut)
    axes_left, reward_left = standardise(free @ axes), standardise(free @ reward)
    # Labels are unknown to the folds, so permuting them stays exact.
    group = np.arange(len(rows)) if together is None else np.unique(together[rows], return_inverse=True)[1]
    fold = (np.random.default_rng(0).permutation(int(group.max()) + 1) % FOLDS)[group]
    fit = standardise(held_out_fit(pooled.prompt[rows], pooled.response[rows], fold)[:, None])
    fit_left = standardise(free @ fit)
    blocks = [
        Block(np.hstack([style_left, cut_left, reward_left, fit_left]), peak=True),
        Block(fourier(style_left), peak=False),
        Block(principal(style_left, 16), peak=False),
        Block(principal(np.hstack([style_left, cut_left, axes_left]), 40), peak=False),
        Block(fourier(axes_left[:, :16]), peak=False),
        Block(axes_left, peak=False),
        Block(np.hstack([reward_left, fit_left]), peak=False),
    ]
    if unconditional:
        blocks += [
            Block(np.hstack([style, cut, reward]), peak=True),
            Block(fourier(style), peak=False),
            Block(principal(style, 16), peak=False),
            Block(axes, peak=False),
            Block(clusters(pooled.response[rows]), peak=True),
        ]
    return blocks


def reward_statistics(pooled: Scored, features: Features, rows: Rows, *, unconditional: bool) -> list[Block]:
    """Return what is contrasted of rewards given their prompts, and without them where that is allowed."""
    reward = standardise(pooled.reward[rows].astype(np.float64)[:, None])
    if not reward.shape[1]:
        return []
    free = residual_maker(pooled, features, rows, linear=_linear(unconditional=unconditional))
    left = standardise(free @ reward)
    return [Block(np.hstack([left, reward]) if unconditional else left, peak=True)]


def _linear(*, unconditional: bool) -> float:
    """Return how much of the kernel of prompts is linear: more where the prompts of both sides differ."""
    return 0.2 if unconditional else 2.0


def service_statistics(features: Features, rows: Rows) -> list[Block]:
    """Return what is contrasted of how exchanges were served."""
    names = ("errors", "incomplete", "empty", "truncated", "tool_calls")
    flags = np.column_stack([features.flags[name][rows].astype(np.float64) for name in names])
    known = ~np.isnan(features.latency[rows])
    times = np.zeros((len(rows), 0))
    if known.all() and len(rows):
        times = standardise(rankdata(features.latency[rows])[:, None])
    return [Block(np.hstack([standardise(flags), times]), peak=True)]


def residual_maker(pooled: Scored, features: Features, rows: Rows, linear: float) -> Floats:
    """Return the (n, n) matrix that frees columns of what prompts explain: kernel ridge at unit penalty.

    The kernel is a Gaussian and a linear one on the prompts' axes and style, and one for equal prompts. Where the
    prompts of both sides differ, `linear` must be large: what is left of a prompt's influence looks like a change.
    """
    x = np.hstack([principal(pooled.prompt[rows]), standardise(features.prompt_style[rows])])
    squared = (x**2).sum(axis=1)
    product = x @ x.T
    distance = np.maximum(squared[:, None] + squared[None, :] - 2 * product, 0.0)
    width = float(np.median(distance[distance > 0])) if (distance > 0).any() else 1.0
    same = same_prompt([pooled.exchanges[row].prompt for row in rows])
    kernel = 0.5 * np.exp(-distance / width) + linear * product / max(1, x.shape[1]) + same
    identity = np.eye(len(rows))
    maker: Floats = np.linalg.solve(kernel + identity, identity - 1.0 / len(rows))
    return maker


def _known(reward: Floats) -> Floats:
    """Put the mean in the place of what is missing: it then speaks for neither side."""
    missing = np.isnan(reward)
    if missing.all() or not missing.any():
        return np.nan_to_num(reward)
    return np.where(missing, reward[~missing].mean(), reward)


def same_prompt(prompts: list[str]) -> Floats:
    """Return (n, n): 1 where two prompts are the same text."""
    ids: dict[str, int] = {}
    group = np.array([ids.setdefault(prompt, len(ids)) for prompt in prompts])
    return np.asarray(np.equal(group[:, None], group[None, :]), dtype=np.float64)


def propensity_strata(pooled: Scored, features: Features, label: NDArray[np.bool_]) -> Rows:
    """Return for each exchange the stratum (n,) of its cross-fitted propensity; -1 where a side is all but missing."""
    rows = np.flatnonzero(features.answered)
    strata = np.full(len(label), -1, dtype=np.intp)
    if min(int(label[rows].sum()), int((~label[rows]).sum())) < 2 * _STRATA:
        return strata
    x = np.hstack([principal(pooled.prompt[rows]), standardise(features.prompt_style[rows])])
    if not x.shape[1]:  # all asked the same
        strata[rows] = 0
        return strata
    model = LogisticRegression(C=0.1, max_iter=300)
    likely = cross_val_predict(model, x, label[rows], cv=5, method="predict_proba")[:, 1]
    edges = np.quantile(likely, np.linspace(0, 1, _STRATA + 1)[1:-1])
    stratum = np.searchsorted(edges, likely, side="right")
    for s in range(_STRATA):
        mine = stratum == s
        inside = int(label[rows][mine].sum())
        if min(inside, int(mine.sum()) - inside) >= _FEWEST_A_SIDE:
            strata[rows[mine]] = s
    return strata


def standardise(columns: Floats) -> Floats:
    """Return the columns that vary, centred, at unit variance, clipped."""
    centred = columns - columns.mean(axis=0)
    spread = centred.std(axis=0)
    varying = spread > 1e-9
    return np.asarray(np.clip(centred[:, varying] / spread[varying], -_CLIP, _CLIP), dtype=np.float64)


def principal(columns: NDArray[np.float32] | Floats, axes: int = _AXES) -> Floats:
    """Return the leading principal components, standardised."""
    centred = columns.astype(np.float64) - columns.mean(axis=0, dtype=np.float64)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    kept = max(1, min(axes, len(columns) - 1, columns.shape[1]))
    return standardise(centred @ vectors[:, ::-1][:, :kept])


def thresholds(columns: Floats) -> Floats:
    """Return indicators of exceeding the pooled 10, 25, 50, 75 and 90 % points, where both sides are populated."""
    indicators = [
        (column > cut).astype(np.float64)
        for column in columns.T
        for cut in np.unique(np.quantile(column, (0.1, 0.25, 0.5, 0.75, 0.9)))
        if 3 <= int((column > cut).sum()) <= len(column) - 3
    ]
    return standardise(np.column_stack(indicators)) if indicators else np.zeros((len(columns), 0))


def clusters(vectors: NDArray[np.float32]) -> Floats:
    """Return indicators of pooled K-means clusters at two resolutions."""
    parts = []
    for k in (8, 24):
        if len(vectors) > 3 * k and len(np.unique(vectors[: 10 * k], axis=0)) > k:
            fitted = KMeans(k, n_init=1, random_state=0, max_iter=15).fit_predict(vectors)
            parts.append((fitted[:, None] == np.arange(k)).astype(np.float64))
    return standardise(np.hstack(parts)) if parts else np.zeros((len(vectors), 0))


def fourier(columns: Floats) -> Floats:
    """Return random Fourier features whose mean shifts sum to the maximum mean discrepancy (Gretton et al. 2012)."""
    if not columns.shape[1]:
        return np.zeros((len(columns), 0))
    rng = np.random.default_rng(0)
    some = columns[rng.permutation(len(columns))[:300]]
    distance = ((some[:, None] - some[None]) ** 2).sum(axis=-1)
    sigma = np.sqrt(np.median(distance[distance > 0]) / 2) if (distance > 0).any() else 1.0
    waves = [columns @ rng.normal(size=(columns.shape[1], _FOURIER)) / (sigma * b) for b in _BANDWIDTHS]
    both = np.hstack([part for wave in waves for part in (np.cos(wave), np.sin(wave))])
    centred: Floats = both - both.mean(axis=0)
    return centred
