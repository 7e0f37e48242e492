"""Learning a baseline from scored exchanges.

Whatever is later compared with new exchanges (distances, residuals) is learnt held-out: a text is never judged by
clusters or regressions that it helped to make, or new exchanges would look different for that reason alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.baseline.contrast import FOLDS, fit_contrast, held_out_fit
from monitor.baseline.controlled import fit_controlled
from monitor.baseline.dependence import Measured, dispersion
from monitor.baseline.folds import Arrivals, Rows, folds, split
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
from monitor.baseline.leak import leak
from monitor.baseline.neighbourhoods import neighbourhoods
from monitor.baseline.normal_scores import NormalScores, fit_normal_scores
from monitor.baseline.ordinary import NO_ORDINARY
from monitor.baseline.quantiser import RANKS, Assigned, Quantiser, fit_quantiser
from monitor.baseline.ridge import regress
from monitor.baseline.seasonality import Calendar, Seasonality, read_calendar, variances_between
from monitor.baseline.single import fit_single
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


class BaselineError(ValueError):
    """No baseline can be made of these exchanges; the message says why."""


def build_baseline(
    scored: Scored, *, route: str, scorer: str, settings: BaselineConfig, created: float
) -> Baseline:
    """Learn a frozen baseline. Raises BaselineError when there are too few exchanges with a prompt."""
    features = extract(scored)
    prompted, answered = np.flatnonzero(features.prompted), np.flatnonzero(features.answered)
    if len(prompted) < FEWEST:
        raise BaselineError(
            f"a baseline needs at least {FEWEST} exchanges with a prompt that can be scored, got {len(prompted)}"
        )
    arrivals = Arrivals.of(scored.exchanges)
    prompt, asked, response, said, x, y, fit = _fit_sides(scored, features, arrivals, settings)
    answered_scores = prompt.scores.transform(x[answered])
    design = design_matrix(answered_scores, asked.assigned.cluster[answered], len(prompt.quantiser.centroids))
    response_scores = response.scores.transform(y[answered])
    rewards = scored.reward[answered].astype(np.float64)
    expectation, answers = _fit_expectation(design, response_scores, rewards, arrivals.take(answered))
    controlled, left = fit_controlled(design, response_scores, rewards, arrivals.take(answered))
    answers = answers._replace(scores=np.column_stack([answers.scores, left]))
    latency = _fit_latency(features)
    calendar = read_calendar(arrivals.times, settings.time_zone)
    scores = {
        "prompt": (prompted, prompt.scores.transform(x[prompted])),
        "response": (answered, answers.scores),
        "system": _system_scores(latency, features),
    }
    groups = neighbourhoods(prompt.quantiser.landmarks)
    measured = Measured(
        scores, asked.assigned.novelty, features, (asked.held_out, asked.assigned.far), groups
    )
    plan = _plan(calendar, measured)
    draft = Baseline(
        id="",
        route=route,
        scorer=scorer,
        created=created,
        prompt=prompt,
        response=response,
        contrast=fit_contrast(scored.prompt[answered], scored.response[answered]),
        expectation=expectation,
        controlled=controlled,
        ordinary=NO_ORDINARY,
        latency=latency,
        reward_edges=_reward_edges(scored.reward, answered),
        length_slope=_length_slope(scored.reward, features, answered),
        leak=leak(answered_scores, answers.scores, asked.assigned.landmark[answered], settings.seed),
        overdispersion=dispersion(calendar, arrivals, measured, plan.prior),
        reference=Bucket.empty("", (len(prompt.quantiser.centroids), len(response.quantiser.centroids))),
        notes=_notes(len(prompted), len(answered)),
        seasonality=plan,
    )
    encoded = draft.encode_assigned(scored, features, asked.assigned, said.assigned)
    encoded.residuals[answered], encoded.expected_reward[answered] = answers
    encoded.answer_fit[answered] = fit[answered]
    draft = replace(draft, ordinary=fit_single(scored, features, encoded, arrivals, settings.seed))
    own = _Own(scored, features, encoded, (asked.held_out, said.held_out))
    return _with_reference(draft, own, calendar)


class _Seen(NamedTuple):
    """How the baseline's own exchanges are seen on one side: `assigned` all of them, novelty as of new texts.

    `held_out` rows did not help to place the centroids, so their clusters are as those of new texts, too.
    """

    assigned: Assigned
    held_out: NDArray[np.intp]


class _Own(NamedTuple):
    """The baseline's own exchanges as they are seen, and which rows were held out on either side."""

    scored: Scored
    features: Features
    encoded: Encoded
    held_out: tuple[NDArray[np.intp], NDArray[np.intp]]


class _Sides(NamedTuple):
    """Both sides, how the own n exchanges are seen on them, and their features: `x` (n, p), `y` (n, q), `fit` (n,)."""

    prompt: Side
    asked: _Seen
    response: Side
    said: _Seen
    x: Floats
    y: Floats
    fit: Floats


def _fit_sides(scored: Scored, features: Features, arrivals: Arrivals, settings: BaselineConfig) -> _Sides:
    """Learn how prompts and answers are seen."""
    prompted, answered = np.flatnonzero(features.prompted), np.flatnonzero(features.answered)
    prompt, asked = _fit_side(scored.prompt, prompted, arrivals, settings)
    response, said = _fit_side(scored.response, answered, arrivals, settings)
    x = prompt_features(features.prompt_style, prompt.projection.apply(scored.prompt), asked.assigned.novelty)
    fit = np.zeros(len(scored.exchanges))
    fold = folds(arrivals.take(answered), FOLDS, settings.seed)
    fit[answered] = held_out_fit(scored.prompt[answered], scored.response[answered], fold)
    axes, reward = response.projection.apply(scored.response), scored.reward.astype(np.float64)
    y = response_features(features.response_style, axes, said.assigned.novelty, fit, np.nan_to_num(reward))
    texts = [e.prompt for e in scored.exchanges], [e.response or "" for e in scored.exchanges]
    known = _without_missing(y, scored.reward)
    prompt = _scored(prompt, x, prompted, _terms(texts[0], asked, prompted, prompt))
    response = _scored(response, known, answered, _terms(texts[1], said, answered, response))
    return _Sides(prompt, asked, response, said, x, y, fit)


def _scored(side: Side, values: Floats, rows: NDArray[np.intp], terms: tuple[tuple[str, ...], ...]) -> Side:
    """Return a side with the score functions of some rows' features, and the words that name its clusters."""
    return side._replace(scores=fit_normal_scores(values[rows]), terms=terms)


def _system_scores(latency: NormalScores, features: Features) -> tuple[NDArray[np.intp], Floats]:
    """Return the timed rows and their scores, zero where only the other time is known."""
    rows = np.flatnonzero(~np.isnan(features.latency))
    both = np.column_stack([features.latency[rows], features.ttft[rows]])
    scores = latency.transform(np.nan_to_num(both, nan=-np.inf))
    return rows, np.where(np.isnan(both), 0.0, scores)


def _fit_side(
    vectors: NDArray[np.float32], rows: Rows, arrivals: Arrivals, settings: BaselineConfig
) -> tuple[Side, _Seen]:
    """Learn projection and clusters of the given rows; the score functions and the terms are added later."""
    nothing = NormalScores(np.zeros((0, 0)), np.zeros((0, 0)))
    if len(rows) < FEWEST:
        projection = Projection(np.zeros(vectors.shape[1]), np.zeros((vectors.shape[1], 2)))
        centroids = np.zeros((2, vectors.shape[1]), dtype=np.float32)
        ranks = np.tile(np.linspace(0.0, 1.0, RANKS), (2, 1))
        quantiser = Quantiser(centroids, ranks, centroids, np.array([np.inf]))
        return Side(projection, quantiser, nothing, ()), _Seen(quantiser.assign(vectors), rows)
    projection = _principal_axes(vectors[rows].astype(np.float64))
    parted = split(arrivals.take(rows), settings.seed)
    fitted = fit_quantiser(vectors[rows], parted, settings.clusters, settings.seed)
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


def _fit_expectation(
    design: Floats, response_scores: Floats, reward: Floats, arrivals: Arrivals
) -> tuple[Expectation, _HeldOut]:
    """Regress response scores and reward of n answers on their prompts."""
    n, width, p = len(design), design.shape[1], response_scores.shape[1]
    if n < FEWEST:
        flat = NormalScores(np.full((p, 1), np.inf), np.zeros((p, 2)))
        nothing = _HeldOut(np.zeros((n, p)), np.zeros(n))
        return Expectation(np.zeros((width, p)), flat, np.zeros(width)), nothing
    known = ~np.isnan(reward)
    targets = np.column_stack([response_scores, np.where(known, reward, 0.0)])
    coefficients, left = regress(design, targets, arrivals)
    if not known.all():  # the reward and its score, the last two, are learnt where there are any
        coefficients[:, -2:], left[:, -2:] = 0.0, np.nan
        if known.sum() >= FEWEST:
            found = regress(design[known], targets[known, -2:], arrivals.take(known))
            coefficients[:, -2:], left[known, -2:] = found
    residuals = fit_normal_scores(left[:, :-1])
    scores = residuals.transform(left[:, :-1])
    scores[~known, -1] = 0.0
    expected = np.where(np.isnan(left[:, -1]), design @ coefficients[:, -1], targets[:, -1] - left[:, -1])
    return Expectation(coefficients[:, :-1], residuals, coefficients[:, -1]), _HeldOut(scores, expected)


def _without_missing(responses: Floats, reward: NDArray[np.float32]) -> Floats:
    """Return response features, the last of which is the reward, with NaN where there is no reward."""
    known = responses.copy()
    known[np.isnan(reward), -1] = np.nan
    return known


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


def _with_reference(draft: Baseline, own: _Own, calendar: Calendar) -> Baseline:
    """Fold the baseline's own exchanges, seen as new ones would be, and give the baseline its id."""
    everything = np.arange(len(own.scored.exchanges))
    reference = fold_rows(draft, own.scored, own.features, own.encoded, everything)
    vector = _own_vector(draft, own, everything)
    seasonality = _seasonality(draft, own, calendar, vector)
    fields = {name: getattr(draft, name) for name in Baseline.__slots__} | {"seasonality": seasonality}
    identity = content_id(arrays_of(Baseline(**fields)), draft.scorer)
    named = Bucket(identity, reference.shape, vector, reference.sample, reference.novel)
    return Baseline(**fields | {"id": identity, "reference": named})


def _own_vector(draft: Baseline, own: _Own, rows: NDArray[np.intp]) -> NDArray[np.int64]:
    """Fold some rows; clusters, and the ranks within them, are counted over held-out rows alone."""
    seen = own.scored, own.features, own.encoded
    bucket = fold_rows(draft, *seen, rows)
    vector, layout = bucket.vector.copy(), bucket.layout
    for held_out, side in zip(own.held_out, ("prompt", "response"), strict=True):
        source = fold_rows(draft, *seen, np.intersect1d(rows, held_out)).vector
        for name in (f"{side}_clusters", f"{side}_ranks", *(("far_prompts",) if side == "prompt" else ())):
            field = layout.fields[name]
            vector[field.start : field.stop] = source[field.start : field.stop]
    return vector


def _plan(calendar: Calendar, measured: Measured) -> Seasonality:
    """Return the seasonality without what was seen in each slot."""
    nothing = np.zeros(0), np.zeros((0, 0), np.float32)
    if not calendar.slots:
        return Seasonality(calendar.kind, calendar.why, calendar.zone, *nothing, 0.0, 0.0)
    largest, median = variances_between(calendar, list(measured.scores.values()))
    return Seasonality(calendar.kind, calendar.why, calendar.zone, *nothing, 1.0 / largest, median)


def _seasonality(draft: Baseline, own: _Own, calendar: Calendar, whole: NDArray[np.int64]) -> Seasonality:
    """Fold the baseline's own exchanges slot by slot, and draw each slot towards the whole."""
    plan = draft.seasonality
    if not calendar.slots:
        return plan
    seen = np.bincount(calendar.slot, minlength=calendar.slots).astype(np.float64)
    mean = whole / len(calendar.slot)
    means = np.tile(mean.astype(np.float32), (calendar.slots, 1))
    for slot in np.flatnonzero(seen):
        vector = _own_vector(draft, own, np.flatnonzero(calendar.slot == slot))
        means[slot] = (vector + plan.prior * mean) / (seen[slot] + plan.prior)
    return plan._replace(seen=seen, means=means)
