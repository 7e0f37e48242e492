"""Learning a baseline from scored exchanges.

Whatever is later compared with new exchanges (distances, residuals) is learnt held-out: a text is never judged by
clusters or regressions that it helped to make, or new exchanges would look different for that reason alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.baseline.contrast import fit_contrast, held_out_fit
from monitor.baseline.frozen import (
    Baseline,
    Encoded,
    Expectation,
    Projection,
    Side,
    content_id,
    design_matrix,
    prompt_features,
    response_features,
)
from monitor.baseline.frozen import _arrays as arrays_of
from monitor.baseline.normal_scores import NormalScores, fit_normal_scores
from monitor.baseline.overdispersion import overdispersion
from monitor.baseline.quantiser import RANKS, Assigned, Quantiser, fit_quantiser
from monitor.contract.config import BaselineConfig
from monitor.sketch.bucket import Bucket
from monitor.sketch.features import Features, Floats, extract
from monitor.sketch.fold import fold_rows
from monitor.sketch.layout import RANK_CELLS
from monitor.sketch.scored import Scored
from monitor.text.style import RESPONSE_FEATURES
from monitor.text.terms import top_terms

FEWEST = 50
_AXES = 16
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
    prompt, asked = _fit_side(scored.prompt, prompted, settings)
    response, said = _fit_side(scored.response, answered, settings)
    x = prompt_features(features.prompt_style, prompt.projection.apply(scored.prompt), asked.assigned.novelty)
    reward = np.nan_to_num(scored.reward.astype(np.float64))
    axes = response.projection.apply(scored.response)
    pairs = scored.prompt[answered], scored.response[answered]
    fit = np.zeros(len(scored.exchanges))
    fit[answered] = held_out_fit(*pairs, settings.seed)
    y = response_features(features.response_style, axes, said.assigned.novelty, fit, reward)
    prompt = prompt._replace(
        scores=fit_normal_scores(x[prompted]),
        terms=_terms([e.prompt for e in scored.exchanges], asked, prompted, prompt),
    )
    response = response._replace(
        scores=fit_normal_scores(y[answered]),
        terms=_terms([e.response or "" for e in scored.exchanges], said, answered, response),
    )
    design = design_matrix(
        prompt.scores.transform(x[answered]),
        asked.assigned.cluster[answered],
        len(prompt.quantiser.centroids),
    )
    expectation, answers = _fit_expectation(
        design, response.scores.transform(y[answered]), scored.reward[answered].astype(np.float64)
    )
    draft = Baseline(
        id="",
        route=route,
        scorer=scorer,
        created=created,
        prompt=prompt,
        response=response,
        contrast=fit_contrast(*pairs),
        expectation=expectation,
        latency=_fit_latency(features),
        reward_edges=_reward_edges(scored.reward, answered),
        length_slope=_length_slope(scored.reward, features, answered),
        overdispersion=_overdispersion(scored, prompt.scores.transform(x[prompted]), answers.scores),
        reference=Bucket.empty("", (len(prompt.quantiser.centroids), len(response.quantiser.centroids))),
        notes=_notes(len(prompted), len(answered)),
    )
    encoded = draft.encode_assigned(scored, features, asked.assigned, said.assigned)
    encoded.residuals[answered], encoded.expected_reward[answered] = answers
    encoded.answer_fit[answered] = fit[answered]
    return _with_reference(draft, scored, features, encoded, (asked.held_out, said.held_out))


class _Seen(NamedTuple):
    """How the baseline's own exchanges are seen on one side: `assigned` all of them, novelty as of new texts.

    `held_out` rows did not help to place the centroids, so their clusters are as those of new texts, too.
    """

    assigned: Assigned
    held_out: NDArray[np.intp]


def _overdispersion(scored: Scored, prompt_scores: Floats, residuals: Floats) -> dict[str, Floats]:
    """Measure it where exchanges carry times, in whose order they are given; without times assume independence."""
    if scored.exchanges[0].time == scored.exchanges[-1].time:
        return {"prompt": np.ones(prompt_scores.shape[1]), "response": np.ones(residuals.shape[1])}
    return {"prompt": overdispersion(prompt_scores), "response": overdispersion(residuals)}


def _fit_side(
    vectors: NDArray[np.float32], rows: NDArray[np.intp], settings: BaselineConfig
) -> tuple[Side, _Seen]:
    """Learn projection and clusters of the given rows; the score functions and the terms are added later."""
    nothing = NormalScores(np.zeros((0, 0)), np.zeros((0, 0)))
    if len(rows) < FEWEST:
        projection = Projection(np.zeros(vectors.shape[1]), np.zeros((vectors.shape[1], 2)))
        centroids = np.zeros((2, vectors.shape[1]), dtype=np.float32)
        quantiser = Quantiser(centroids, np.tile(np.linspace(0.0, 1.0, RANKS), (2, 1)))
        return Side(projection, quantiser, nothing, ()), _Seen(quantiser.assign(vectors), rows)
    projection = _principal_axes(vectors[rows].astype(np.float64))
    fitted = fit_quantiser(vectors[rows], settings.clusters, settings.seed)
    assigned = fitted.quantiser.assign(vectors)
    assigned.novelty[rows] = fitted.novelty
    return Side(projection, fitted.quantiser, nothing, ()), _Seen(assigned, rows[fitted.held_out])


def _principal_axes(vectors: Floats) -> Projection:
    mean = vectors.mean(axis=0)
    centred = vectors - mean
    _, axes = np.linalg.eigh(centred.T @ centred)
    kept = min(_AXES, vectors.shape[1], max(2, len(vectors) // 4))
    return Projection(mean, axes[:, ::-1][:, :kept].copy())


class _HeldOut(NamedTuple):
    """What n answers leave unexplained when others explain them: residual `scores` (n, p); expected `reward` (n,)."""

    scores: Floats
    reward: Floats


def _fit_expectation(design: Floats, response_scores: Floats, reward: Floats) -> tuple[Expectation, _HeldOut]:
    """Regress response scores and reward of n answers on their prompts."""
    n, width, p = len(design), design.shape[1], response_scores.shape[1]
    if n < FEWEST:
        flat = NormalScores(np.full((p, 1), np.inf), np.zeros((p, 2)))
        nothing = _HeldOut(np.zeros((n, p)), np.zeros(n))
        return Expectation(np.zeros((width, p)), flat, np.zeros(width)), nothing
    known = ~np.isnan(reward)
    filled = np.where(known, reward, reward[known].mean() if known.any() else 0.0)
    targets = np.column_stack([response_scores, filled])
    penalty, left = _held_out_residuals(design, targets)
    coefficients = _ridge(design, targets, penalty)
    residuals = fit_normal_scores(left[:, :-1])
    held_out = _HeldOut(residuals.transform(left[:, :-1]), filled - left[:, -1])
    return Expectation(coefficients[:, :-1], residuals, coefficients[:, -1]), held_out


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


def _length_slope(reward: NDArray[np.float32], features: Features, answered: NDArray[np.intp]) -> float:
    known = answered[~np.isnan(reward[answered])]
    length = features.response_style[known, RESPONSE_FEATURES.index("length")]
    if len(known) < FEWEST or length.std() < 1e-9:
        return 0.0
    return float(np.cov(reward[known].astype(np.float64), length)[0, 1] / length.std())


def _terms(texts: list[str], seen: _Seen, rows: NDArray[np.intp], side: Side) -> tuple[tuple[str, ...], ...]:
    return top_terms([texts[row] for row in rows], seen.assigned.cluster[rows], len(side.quantiser.centroids))


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
    draft: Baseline,
    scored: Scored,
    features: Features,
    encoded: Encoded,
    held_out: tuple[NDArray[np.intp], NDArray[np.intp]],
) -> Baseline:
    """Fold the baseline's own exchanges, seen as new ones would be, and give the baseline its id.

    Clusters, and the ranks within them, are counted over held-out rows alone.
    """
    reference = fold_rows(draft, scored, features, encoded, np.arange(len(scored.exchanges)))
    prompts, responses = (fold_rows(draft, scored, features, encoded, rows) for rows in held_out)
    vector, layout = reference.vector.copy(), reference.layout
    for source, names in (
        (prompts, ("prompt_clusters", "prompt_ranks")),
        (responses, ("response_clusters", "response_ranks")),
    ):
        for name in names:
            field = layout.fields[name]
            vector[field.start : field.stop] = source.vector[field.start : field.stop]
    identity = content_id(arrays_of(draft), draft.scorer)
    named = Bucket(identity, reference.shape, vector, reference.sample, reference.novel)
    fields = {name: getattr(draft, name) for name in Baseline.__slots__}
    return Baseline(**fields | {"id": identity, "reference": named})
