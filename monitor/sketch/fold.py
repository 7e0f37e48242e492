"""Folding: from scored exchanges to buckets.

Law: pure, and additive over exchanges: folding two batches and merging equals folding both at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.baseline.frozen import Baseline, Encoded
from monitor.sketch.bucket import Bucket, BucketKey
from monitor.sketch.cells import counted
from monitor.sketch.features import Features, Floats, Mask, extract
from monitor.sketch.hours import counted_hours, hour_of_week
from monitor.sketch.layout import COUNTS, LANDMARKS, RANK_CELLS, Layout, fixed, layout_for
from monitor.sketch.reservoir import Kept, excerpt, priority_of, smallest
from monitor.sketch.scored import Scored

# Prompts beyond this novelty have no like in the baseline: no expectation is held against their answers.
SUPPORT = 0.95


class _Sums:
    """The vector of a bucket in the making."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.vector = np.zeros(layout.size, dtype=np.int64)

    def add(self, name: str, counts: NDArray[np.intp] | Floats | int) -> None:
        """Add counts, or sums of fixed-point numbers, to a field."""
        self.layout.add(self.vector, name, counts)

    def add_rows(self, name: str, values: Floats) -> None:
        """Add real numbers, one row an exchange, to a field."""
        self.add(name, fixed(values).sum(axis=0))


def fold(baseline: Baseline, scored: Scored) -> dict[BucketKey, Bucket]:
    """Fold exchanges into one bucket for each (route, arm, minute) among them."""
    features = extract(scored)
    return fold_seen(baseline, scored, features, baseline.encode(scored, features))


def fold_seen(
    baseline: Baseline, scored: Scored, features: Features, encoded: Encoded
) -> dict[BucketKey, Bucket]:
    """Fold exchanges that were seen through the baseline already."""
    groups: dict[BucketKey, list[int]] = {}
    for row, e in enumerate(scored.exchanges):
        groups.setdefault(BucketKey(e.route, e.arm, int(e.time // 60)), []).append(row)
    return {
        key: fold_rows(baseline, scored, features, encoded, np.array(rows, dtype=np.intp))
        for key, rows in groups.items()
    }


def fold_rows(
    baseline: Baseline, scored: Scored, features: Features, encoded: Encoded, rows: NDArray[np.intp]
) -> Bucket:
    """Fold some rows of encoded exchanges into one bucket, whatever their minutes."""
    sums = _Sums(layout_for(*baseline.shape))
    prompted = rows[features.prompted[rows]]
    answered = rows[features.answered[rows]]
    supported = answered[encoded.prompts.novelty[answered] <= SUPPORT]
    _count(sums, features, rows)
    _add_prompts(sums, features, encoded, prompted)
    _add_responses(sums, features, encoded, answered)
    sums.add("supported", len(supported))
    sums.add_rows("response_scores", encoded.residuals[supported])
    sums.add_rows("answer_fit", encoded.answer_fit[supported])
    rewarded = answered[~np.isnan(scored.reward[answered])]
    is_supported = encoded.prompts.novelty[rewarded] <= SUPPORT
    _add_rewards(sums, baseline, scored.reward.astype(np.float64), rewarded)
    _add_attribution(sums, scored, encoded, rewarded, is_supported)
    _add_times(sums, baseline, features, rows)
    moments = np.array([scored.exchanges[row].time for row in rows.tolist()], dtype=np.float64)
    sums.add("hours", counted_hours(hour_of_week(moments, baseline.seasonality.zone)))
    sums.add("prompt_cells", counted(features.prompt_cell[rows]))
    sums.add("user_cells", counted(features.user_cell[rows]))
    return Bucket(baseline.id, baseline.shape, sums.vector, *_samples(scored, encoded, prompted))


def _count(sums: _Sums, features: Features, rows: NDArray[np.intp]) -> None:
    sums.add("exchanges", len(rows))
    sums.add("prompts", int(features.prompted[rows].sum()))
    sums.add("answers", int(features.answered[rows].sum()))
    for name in COUNTS:
        if name in features.flags:
            sums.add(name, int(features.flags[name][rows].sum()))


def _add_prompts(sums: _Sums, features: Features, encoded: Encoded, rows: NDArray[np.intp]) -> None:
    novelty = encoded.prompts.novelty[rows]
    sums.add("prompt_clusters", np.bincount(encoded.prompts.cluster[rows], minlength=sums.layout.clusters))
    sums.add("prompt_ranks", _histogram(novelty))
    far = encoded.prompts.far[rows]
    sums.add("far_prompts", np.bincount(far[far >= 0], minlength=LANDMARKS))
    sums.add("novel_90", int((novelty > 0.90).sum()))
    sums.add("novel_98", int((novelty > 0.98).sum()))
    sums.add_rows("prompt_scores", encoded.prompt_scores[rows])
    sums.add_rows("prompt_style", features.prompt_style[rows])


def _add_responses(sums: _Sums, features: Features, encoded: Encoded, rows: NDArray[np.intp]) -> None:
    field = sums.layout.fields["response_clusters"]
    clusters = field.stop - field.start
    style = features.response_style[rows]
    sums.add("response_clusters", np.bincount(encoded.responses.cluster[rows], minlength=clusters))
    sums.add("response_ranks", _histogram(encoded.responses.novelty[rows]))
    sums.add_rows("response_style", style)
    sums.add_rows("response_style_sq", style**2)


def _add_rewards(sums: _Sums, baseline: Baseline, reward: Floats, rows: NDArray[np.intp]) -> None:
    r = reward[rows]
    cells = np.searchsorted(baseline.reward_edges, r, side="right")
    sums.add("rewarded", len(rows))
    sums.add_rows("reward", r)
    sums.add_rows("reward_sq", r**2)
    sums.add("reward_ranks", np.bincount(cells, minlength=RANK_CELLS))


def _add_attribution(
    sums: _Sums,
    scored: Scored,
    encoded: Encoded,
    rows: NDArray[np.intp],
    is_supported: Mask,
) -> None:
    inside, outside = rows[is_supported], rows[~is_supported]
    r, expected = scored.reward[inside].astype(np.float64), encoded.expected_reward[inside]
    cluster, k = encoded.prompts.cluster[inside], sums.layout.clusters
    sums.add("cluster_rewarded", np.bincount(cluster, minlength=k))
    sums.add("cluster_reward", np.bincount(cluster, weights=fixed(r), minlength=k))
    sums.add("cluster_reward_sq", np.bincount(cluster, weights=fixed(r**2), minlength=k))
    sums.add_rows("expected", expected)
    sums.add_rows("expected_sq", expected**2)
    sums.add_rows("residual", r - expected)
    sums.add_rows("residual_sq", (r - expected) ** 2)
    sums.add("unsupported", len(outside))
    sums.add_rows("unsupported_reward", scored.reward[outside].astype(np.float64))
    sums.add_rows("unsupported_expected", encoded.expected_reward[outside])


def _add_times(sums: _Sums, baseline: Baseline, features: Features, rows: NDArray[np.intp]) -> None:
    timed = rows[~np.isnan(features.latency[rows])]
    both = np.column_stack([features.latency[timed], features.ttft[timed]])
    scores = baseline.latency.transform(np.nan_to_num(both, nan=-np.inf))
    scores[np.isnan(both)] = 0.0
    sums.add("timed", len(timed))
    sums.add_rows("latency", features.latency[timed])
    sums.add_rows("system_scores", scores)


def _histogram(ranks: Floats) -> NDArray[np.intp]:
    cells = np.minimum((ranks * RANK_CELLS).astype(np.intp), RANK_CELLS - 1)
    return np.bincount(cells, minlength=RANK_CELLS)


def _samples(
    scored: Scored, encoded: Encoded, rows: NDArray[np.intp]
) -> tuple[tuple[Kept, ...], tuple[Kept, ...]]:
    # An id that occurs twice counts once, or a merge would keep other exchanges than one fold does.
    ids = {scored.exchanges[row].id: row for row in reversed(rows.tolist())}
    priorities = [(priority_of(name), row) for name, row in ids.items()]
    novelty = encoded.prompts.novelty
    novel = [pair for pair in priorities if novelty[pair[1]] > SUPPORT]
    return tuple(
        smallest(_keep(scored, encoded, row, priority) for priority, row in sorted(pairs)[:8])
        for pairs in (priorities, novel)
    )  # type: ignore[return-value]  # exactly two, which mypy cannot count


def _keep(scored: Scored, encoded: Encoded, row: int, priority: int) -> Kept:
    e = scored.exchanges[row]
    return Kept(
        priority,
        e.id,
        excerpt(e.prompt),
        excerpt(e.response or ""),
        int(encoded.prompts.cluster[row]),
        int(encoded.responses.cluster[row]),
        round(float(encoded.prompts.novelty[row]), 4),
        e.user or "",
        int(e.time // 3600),
    )
