"""What a baseline keeps, how exchanges are seen through it, and its bytes.

Law: frozen and pure. Encoding exchanges uses nothing but the arrays below; the id is a hash of those arrays, so two
monitors that hold the same id see every exchange alike.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from monitor.baseline.contrast import Contrast
from monitor.baseline.controlled import Controlled
from monitor.baseline.normal_scores import NormalScores
from monitor.baseline.ordinary import Ordinary
from monitor.baseline.quantiser import Assigned, Quantiser
from monitor.baseline.seasonality import NONE, Seasonality
from monitor.sketch.bucket import Bucket
from monitor.sketch.features import Features, Floats
from monitor.sketch.layout import AXES
from monitor.sketch.scored import Scored

FORMAT = 3


class Projection(NamedTuple):
    """Principal axes of embeddings: `mean` (dim,), `axes` (dim, a)."""

    mean: Floats
    axes: Floats

    def apply(self, vectors: NDArray[np.float32]) -> Floats:
        """Return coordinates float64 (n, a) of float32 (n, dim) embeddings."""
        coordinates: Floats = (vectors.astype(np.float64) - self.mean) @ self.axes
        return coordinates


class Side(NamedTuple):
    """How prompts, or responses, are seen: projection, clusters, scores, and words that name the clusters."""

    projection: Projection
    quantiser: Quantiser
    scores: NormalScores
    terms: tuple[tuple[str, ...], ...]


class Expectation(NamedTuple):
    """What a prompt leads one to expect of its answer: linear in the prompt's scores and cluster.

    `response` (1 + scores + clusters, response scores) predicts response scores, `residuals` are the score functions
    of what it leaves; `reward` (1 + scores + clusters,) predicts the reward itself.
    """

    response: Floats
    residuals: NormalScores
    reward: Floats


class Encoded(NamedTuple):
    """n exchanges seen through a baseline; rows that are not `prompted` (or not `answered`) are meaningless there.

    Scores float64 (n, p): `prompt_scores`, and `residuals` of the response given the prompt, the last of which is the
    style-controlled reward. `answer_fit` (n,): how
    well the response fits its prompt.
    """

    prompts: Assigned
    responses: Assigned
    prompt_scores: Floats
    residuals: Floats
    expected_reward: Floats
    answer_fit: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """A frozen baseline of one route. `size` counts its exchanges, `reference` is their fold.

    `ordinary` says how rare the numbers of a single exchange are. `overdispersion` gives for each family of scores how
    much more sums vary than independent exchanges would. `is_matched`: the reference is that of a window's hours.
    `length_slope`: reward that comes with one standard deviation of length among its own answers. `leak`: how far other
    questions alone move what ought to be free of them (see `leak`).
    """

    id: str
    route: str
    scorer: str
    created: float
    prompt: Side
    response: Side
    contrast: Contrast
    expectation: Expectation
    controlled: Controlled
    ordinary: Ordinary
    latency: NormalScores
    reward_edges: Floats
    length_slope: float
    leak: float
    overdispersion: dict[str, Floats]
    reference: Bucket
    notes: tuple[str, ...] = ()
    seasonality: Seasonality = NONE
    is_matched: bool = False

    @property
    def size(self) -> int:
        """Exchanges it was made of."""
        return self.reference.n

    @property
    def shape(self) -> tuple[int, int]:
        """Clusters of prompts and of responses."""
        return len(self.prompt.quantiser.centroids), len(self.response.quantiser.centroids)

    def matched(self, window: Bucket) -> Baseline:
        """Return this baseline with the reference of a window's own hours, as large as that is known well.

        What is returned tells no hours apart any more.
        """
        expected = self.seasonality.expected(window.read("hours"))
        if expected is None:
            return self
        size = 1.0 / (expected.typical + 1.0 / self.size)
        vector = np.rint(expected.mean * size).astype(np.int64)
        own = self.reference
        reference = Bucket(own.baseline, own.shape, vector, own.sample, own.novel)
        return replace(self, reference=reference, seasonality=NONE, is_matched=True)

    def encode(self, scored: Scored, features: Features) -> Encoded:
        """See n exchanges through this baseline."""
        prompts = self.prompt.quantiser.assign(scored.prompt)
        responses = self.response.quantiser.assign(scored.response)
        return self.encode_assigned(scored, features, prompts, responses)

    def encode_assigned(
        self, scored: Scored, features: Features, prompts: Assigned, responses: Assigned
    ) -> Encoded:
        """See n exchanges through this baseline, their clusters and novelty being known."""
        prompt_axes = self.prompt.projection.apply(scored.prompt)
        prompt_scores = self.prompt.scores.transform(
            prompt_features(features.prompt_style, prompt_axes, prompts.novelty)
        )
        response_axes = self.response.projection.apply(scored.response)
        reward = np.nan_to_num(scored.reward.astype(np.float64))
        fit = self.contrast.fit_of(scored.prompt, scored.response)
        response_scores = self.response.scores.transform(
            response_features(features.response_style, response_axes, responses.novelty, fit, reward)
        )
        design = design_matrix(prompt_scores, prompts.cluster, self.shape[0])
        left = response_scores - design @ self.expectation.response
        residuals = self.expectation.residuals.transform(left)
        residuals = np.hstack([residuals, self.controlled.score(design, response_scores)])
        residuals[np.isnan(scored.reward), -2:] = 0.0  # no reward says nothing; it is not counted either
        return Encoded(
            prompts,
            responses,
            prompt_scores,
            residuals,
            design @ self.expectation.reward,
            fit,
        )

    def to_bytes(self) -> bytes:
        """Encode for the store or a file (safetensors with its description as metadata)."""
        meta = _Meta(
            format=FORMAT,
            id=self.id,
            route=self.route,
            scorer=self.scorer,
            created=self.created,
            prompt_terms=self.prompt.terms,
            response_terms=self.response.terms,
            notes=self.notes,
            seasonality=(self.seasonality.kind, self.seasonality.why, self.seasonality.zone),
        )
        arrays = {name: np.ascontiguousarray(value) for name, value in _arrays(self).items()}
        return save(arrays, {"driftgate": msgspec.json.encode(meta).decode()})

    @classmethod
    def from_bytes(cls, data: bytes) -> Baseline:
        """Decode. Raises ValueError when the data are no baseline of this format."""
        try:
            size = int.from_bytes(data[:8], "little")
            header = msgspec.json.decode(data[8 : 8 + size])
            meta = msgspec.json.decode(header["__metadata__"]["driftgate"], type=_Meta)
            arrays: dict[str, NDArray[Any]] = load(data)
        except (
            msgspec.MsgspecError,
            SafetensorError,
            KeyError,
            TypeError,
            OverflowError,
            ValueError,
        ) as error:
            raise ValueError(f"not a baseline: {error}") from None
        if meta.format != FORMAT:
            raise ValueError(f"a baseline of format {meta.format}, expected {FORMAT}; create it again")
        return _from_arrays(meta, arrays)


class _Meta(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    id: str
    route: str
    scorer: str
    created: float
    prompt_terms: tuple[tuple[str, ...], ...]
    response_terms: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    seasonality: tuple[str, str, str]


def content_id(arrays: dict[str, NDArray[Any]], scorer: str) -> str:
    """Return the id of a baseline: `b` and eight hexadecimal digits of a hash of its content."""
    digest = hashlib.blake2b(scorer.encode(), digest_size=4)
    for name in sorted(arrays):
        digest.update(name.encode() + np.ascontiguousarray(arrays[name]).tobytes())
    return f"b{digest.hexdigest()}"


def prompt_features(style: Floats, axes: Floats, novelty: Floats) -> Floats:
    """Stack what is scored of prompts, in the order of `PROMPT_SCORES`."""
    return np.hstack([style, _padded(axes), novelty[:, None]])


def response_features(style: Floats, axes: Floats, novelty: Floats, fit: Floats, reward: Floats) -> Floats:
    """Stack what is scored of responses, in the order of `RESPONSE_SCORES`; the last of these is made of the others."""
    return np.hstack([style, _padded(axes), np.column_stack([novelty, fit, reward])])


def _padded(axes: Floats) -> Floats:
    """Return exactly `AXES` columns, zeros where a tiny baseline has fewer."""
    return np.pad(axes[:, :AXES], ((0, 0), (0, max(0, AXES - axes.shape[1]))))


def design_matrix(prompt_scores: Floats, cluster: NDArray[np.intp], clusters: int) -> Floats:
    """Return the regressors of the expectation: intercept, prompt scores, cluster indicators."""
    indicators = np.zeros((len(cluster), clusters))
    indicators[np.arange(len(cluster)), cluster] = 1.0
    return np.hstack([np.ones((len(cluster), 1)), prompt_scores, indicators])


def _arrays(b: Baseline) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {
        "expectation.response": b.expectation.response,
        "expectation.residuals.edges": b.expectation.residuals.edges,
        "expectation.residuals.values": b.expectation.residuals.values,
        "expectation.reward": b.expectation.reward,
        "controlled.coefficients": b.controlled.coefficients,
        "controlled.edges": b.controlled.scores.edges,
        "controlled.values": b.controlled.scores.values,
        "controlled.spread": np.array([b.controlled.spread]),
        "latency.edges": b.latency.edges,
        "latency.values": b.latency.values,
        "reward_edges": b.reward_edges,
        "length_slope": np.array([b.length_slope]),
        "leak": np.array([b.leak]),
        "reference": np.frombuffer(b.reference.to_bytes(), dtype=np.uint8),
    }
    arrays |= {f"contrast.{name}": value for name, value in b.contrast._asdict().items()}
    arrays |= {f"ordinary.{name}": value for name, value in b.ordinary._asdict().items()}
    arrays |= {
        "season.seen": b.seasonality.seen,
        "season.means": b.seasonality.means,
        "season.weights": np.array([b.seasonality.prior, b.seasonality.spread]),
    }
    arrays |= {f"overdispersion.{family}": value for family, value in b.overdispersion.items()}
    for name, side in (("prompt", b.prompt), ("response", b.response)):
        arrays |= {
            f"{name}.mean": side.projection.mean,
            f"{name}.axes": side.projection.axes,
            f"{name}.centroids": side.quantiser.centroids,
            f"{name}.ranks": side.quantiser.ranks,
            f"{name}.landmarks": side.quantiser.landmarks,
            f"{name}.reach": side.quantiser.reach,
            f"{name}.edges": side.scores.edges,
            f"{name}.values": side.scores.values,
        }
    return arrays


def _from_arrays(meta: _Meta, a: dict[str, NDArray[Any]]) -> Baseline:
    def side(name: str, terms: tuple[tuple[str, ...], ...]) -> Side:
        return Side(
            Projection(a[f"{name}.mean"], a[f"{name}.axes"]),
            Quantiser(*(a[f"{name}.{part}"] for part in Quantiser._fields)),
            NormalScores(a[f"{name}.edges"], a[f"{name}.values"]),
            terms,
        )

    residuals = NormalScores(a["expectation.residuals.edges"], a["expectation.residuals.values"])
    return Baseline(
        id=meta.id,
        route=meta.route,
        scorer=meta.scorer,
        created=meta.created,
        prompt=side("prompt", meta.prompt_terms),
        response=side("response", meta.response_terms),
        contrast=Contrast(*(a[f"contrast.{name}"] for name in Contrast._fields)),
        expectation=Expectation(a["expectation.response"], residuals, a["expectation.reward"]),
        controlled=Controlled(
            a["controlled.coefficients"],
            NormalScores(a["controlled.edges"], a["controlled.values"]),
            float(a["controlled.spread"][0]),
        ),
        ordinary=Ordinary(*(a[f"ordinary.{name}"] for name in Ordinary._fields)),
        latency=NormalScores(a["latency.edges"], a["latency.values"]),
        reward_edges=a["reward_edges"],
        length_slope=float(a["length_slope"][0]),
        leak=float(a["leak"][0]),
        overdispersion={k.partition(".")[2]: v for k, v in a.items() if k.startswith("overdispersion.")},
        reference=Bucket.from_bytes(a["reference"].tobytes()),
        notes=meta.notes,
        seasonality=Seasonality(
            *meta.seasonality, a["season.seen"], a["season.means"], *map(float, a["season.weights"])
        ),
    )
