"""Learning a baseline from scored exchanges.

Whatever is later compared with new exchanges (distances, residuals) is learnt held-out: a text is never judged by
clusters or regressions that it helped to make, or new exchanges would look different for that reason alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.baseline.frozen import (
    Baseline,
    Expectation,
    Projection,
    Side,
    content_id,
    design_matrix,
    prompt_features,
    response_features,
)
from monitor.baseline.frozen import _arrays as arrays_of
from monitor.bucket import Bucket
from monitor.contract.config import BaselineConfig
from monitor.features import Features, Floats, extract
from monitor.fold import fold_rows
from monitor.layout import RANK_CELLS
from monitor.normal_scores import NormalScores, fit_normal_scores
from monitor.overdispersion import overdispersion
from monitor.quantiser import Quantiser, fit_quantiser
from monitor.scored import Scored
from monitor.terms import top_terms

FEWEST = 50
_AXES = 48
_FOLDS = 4
# Ridge penalties tried, as shares of the number of exchanges.
_PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0)


class BaselineError(ValueError):
    """No baseline can be made of these exchanges; the message says why."""


def build_baseline(
    scored: Scored, *, route: str, scorer: str, settings: BaselineConfig, created: float
) -> Baseline:
    """Learn a frozen baseline. Raises BaselineError when there are too few exchanges with a prompt."""
    features = extract(scored)
    prompted = np.flatnonzero(features.prompted)
    answered = np.flatnonzero(features.answered)
    if len(prompted) < FEWEST:
        raise BaselineError(
            f"a baseline needs at least {FEWEST} exchanges with a prompt that can be scored, got {len(prompted)}"
        )
    prompt, prompt_novelty = _fit_side(scored.prompt, prompted, settings)
    response, response_novelty = _fit_side(scored.response, answered, settings)
    held_out = (_scatter(prompt_novelty, prompted, features), _scatter(response_novelty, answered, features))
    x = prompt_features(features.prompt_style, prompt.projection.apply(scored.prompt), held_out[0])
    reward = np.nan_to_num(scored.reward.astype(np.float64))
    y = response_features(
        features.response_style, response.projection.apply(scored.response), held_out[1], reward
    )
    prompt = prompt._replace(scores=fit_normal_scores(x[prompted]))
    response = response._replace(scores=fit_normal_scores(y[answered] if len(answered) else y[:1] * 0.0))
    expectation, left = _fit_expectation(prompt, response, (x, y), scored, answered)
    clusters = prompt.quantiser.assign(prompt.projection.apply(scored.prompt)).cluster
    replies = response.quantiser.assign(response.projection.apply(scored.response)).cluster
    prompt = prompt._replace(terms=_terms([e.prompt for e in scored.exchanges], clusters, prompted, prompt))
    response = response._replace(
        terms=_terms([e.response or "" for e in scored.exchanges], replies, answered, response)
    )
    draft = Baseline(
        id="",
        route=route,
        scorer=scorer,
        created=created,
        prompt=prompt,
        response=response,
        expectation=expectation,
        latency=_fit_latency(features),
        reward_edges=_reward_edges(scored.reward, answered),
        overdispersion={
            "prompt": overdispersion(prompt.scores.transform(x[prompted])),
            "response": overdispersion(left),
        },
        reference=Bucket.empty("", (len(prompt.quantiser.centroids), len(response.quantiser.centroids))),
        notes=_notes(len(prompted), len(answered)),
    )
    return _with_reference(draft, scored, features, held_out)


def _fit_side(
    vectors: NDArray[np.float32], rows: NDArray[np.intp], settings: BaselineConfig
) -> tuple[Side, Floats]:
    """Learn projection and clusters of the given rows; the score functions are added later."""
    nothing = NormalScores(np.zeros((0, 0)), np.zeros((0, 0)))
    if len(rows) < FEWEST:
        projection = Projection(np.zeros(vectors.shape[1]), np.zeros((vectors.shape[1], 2)))
        quantiser = Quantiser(np.zeros((2, 2)), np.tile(np.linspace(0.0, 1.0, 33), (2, 1)))
        return Side(projection, quantiser, nothing, ()), np.full(len(rows), 0.5)
    projection = _principal_axes(vectors[rows].astype(np.float64))
    quantiser, novelty = fit_quantiser(projection.apply(vectors[rows]), settings.clusters, settings.seed)
    return Side(projection, quantiser, nothing, ()), novelty


def _principal_axes(vectors: Floats) -> Projection:
    mean = vectors.mean(axis=0)
    centred = vectors - mean
    _, axes = np.linalg.eigh(centred.T @ centred)
    kept = min(_AXES, vectors.shape[1], max(2, len(vectors) // 4))
    return Projection(mean, axes[:, ::-1][:, :kept].copy())


def _scatter(values: Floats, rows: NDArray[np.intp], features: Features) -> Floats:
    full = np.full(len(features.prompted), 0.5)
    full[rows] = values
    return full


def _fit_expectation(
    prompt: Side, response: Side, raw: tuple[Floats, Floats], scored: Scored, answered: NDArray[np.intp]
) -> tuple[Expectation, Floats]:
    """Regress response scores and reward on the prompt; return it and the residual scores of `answered`."""
    clusters = len(prompt.quantiser.centroids)
    x, y = raw
    width = 1 + x.shape[1] + clusters
    if len(answered) < FEWEST:
        flat = NormalScores(np.full((y.shape[1], 1), np.inf), np.zeros((y.shape[1], 2)))
        return Expectation(np.zeros((width, y.shape[1])), flat, np.zeros(width)), np.zeros((0, y.shape[1]))
    cluster = prompt.quantiser.assign(prompt.projection.apply(scored.prompt[answered])).cluster
    design = design_matrix(prompt.scores.transform(x[answered]), cluster, clusters)
    reward = scored.reward[answered].astype(np.float64)
    known = ~np.isnan(reward)
    filled = np.where(known, reward, reward[known].mean() if known.any() else 0.0)
    targets = np.column_stack([response.scores.transform(y[answered]), filled])
    penalty, left = _held_out_residuals(design, targets)
    coefficients = _ridge(design, targets, penalty)
    residuals = fit_normal_scores(left[:, :-1])
    return Expectation(coefficients[:, :-1], residuals, coefficients[:, -1]), residuals.transform(
        left[:, :-1]
    )


def _held_out_residuals(design: Floats, targets: Floats) -> tuple[float, Floats]:
    """Choose the penalty by cross-validation; return it with the held-out residuals it leaves."""
    fold = np.random.default_rng(0).permutation(len(design)) % _FOLDS
    best: tuple[float, float, Floats] | None = None
    for share in _PENALTIES:
        penalty = share * len(design)
        left = np.empty_like(targets)
        for f in range(_FOLDS):
            out: NDArray[np.bool_] = fold == f
            left[out] = targets[out] - design[out] @ _ridge(design[~out], targets[~out], penalty)
        loss = float((left**2 / (targets.var(axis=0) + 1e-12)).mean())
        if best is None or loss < best[0]:
            best = (loss, penalty, left)
    assert best is not None  # noqa: S101 - there is at least one penalty
    return best[1], best[2]


def _ridge(design: Floats, targets: Floats, penalty: float) -> Floats:
    weights = np.full(design.shape[1], penalty)
    weights[0] = 1e-6 * len(design)  # the intercept is not shrunk
    return np.asarray(
        np.linalg.solve(design.T @ design + np.diag(weights), design.T @ targets), dtype=np.float64
    )


def _fit_latency(features: Features) -> NormalScores:
    both = np.column_stack([features.latency, features.ttft])
    columns = []
    for j in range(2):
        known = both[~np.isnan(both[:, j]), j]
        columns.append(fit_normal_scores(known[:, None] if len(known) else np.zeros((1, 1))))
    return NormalScores(np.vstack([c.edges for c in columns]), np.vstack([c.values for c in columns]))


def _reward_edges(reward: NDArray[np.float32], answered: NDArray[np.intp]) -> Floats:
    known = reward[answered][~np.isnan(reward[answered])].astype(np.float64)
    if not len(known):
        return np.zeros(RANK_CELLS - 1)
    edges: Floats = np.quantile(known, np.linspace(0, 1, RANK_CELLS + 1)[1:-1])
    return edges


def _terms(
    texts: list[str], cluster: NDArray[np.intp], rows: NDArray[np.intp], side: Side
) -> tuple[tuple[str, ...], ...]:
    return top_terms([texts[row] for row in rows], cluster[rows], len(side.quantiser.centroids))


def _notes(prompts: int, answers: int) -> tuple[str, ...]:
    notes = []
    if prompts < 1000:
        notes.append(
            f"made of {prompts} exchanges only: small changes and rare topics cannot be told from noise"
        )
    if answers < FEWEST:
        notes.append("no answers: only changes of the prompts can be seen")
    return tuple(notes)


def _with_reference(
    draft: Baseline, scored: Scored, features: Features, held_out: tuple[Floats, Floats]
) -> Baseline:
    """Fold the baseline's own exchanges through it, with their held-out novelty, and give it its id."""
    encoded = draft.encode(scored, features)
    encoded = encoded._replace(
        prompts=encoded.prompts._replace(novelty=held_out[0]),
        responses=encoded.responses._replace(novelty=held_out[1]),
    )
    everything = np.arange(len(scored.exchanges))
    identity = content_id(arrays_of(draft), draft.scorer)
    unnamed = fold_rows(draft, scored, features, encoded, everything)
    reference = Bucket(identity, unnamed.shape, unnamed.vector, unnamed.sample, unnamed.novel)
    fields = {name: getattr(draft, name) for name in Baseline.__slots__}
    return Baseline(**fields | {"id": identity, "reference": reference})
