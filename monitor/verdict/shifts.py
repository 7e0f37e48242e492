"""Explanations: which clusters grew or were born and which habits of style moved, in words and examples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.baseline.frozen import Baseline
from monitor.contract import Exemplar, Shift
from monitor.sketch.bucket import Bucket
from monitor.sketch.reservoir import Kept
from monitor.text.style import RESPONSE_FEATURES
from monitor.text.terms import top_terms
from monitor.verdict.birth import likely_new, unborn
from monitor.verdict.share_interval import wilson
from monitor.verdict.signals import new_share_of
from monitor.verdict.style_shifts import style_shifts

Floats = NDArray[np.float64]
_SHOWN = 3
# A cluster or habit is named when its change stands out by this many standard errors and is not tiny.
_STANDS_OUT, _SMALLEST_SHARE, _SMALLEST_EFFECT = 3.5, 0.01, 0.2
_SURELY = 0.001
_UNLIKE = "prompts unlike any before"


def explain(baseline: Baseline, window: Bucket) -> tuple[Shift, ...]:
    """Return what moved most: new prompts, grown or shrunken clusters of prompts and responses, style."""
    baseline = baseline.matched(window)
    return (
        *_new_prompts(baseline, window),
        *_clusters("prompt_cluster", baseline, window),
        *_clusters("response_cluster", baseline, window),
        *_style(baseline, window),
    )


def _new_prompts(baseline: Baseline, window: Bucket) -> list[Shift]:
    share = new_share_of(baseline, window)
    if share is None or not window.novel or share.p_value > _SURELY:
        return []
    novel = sorted(window.novel, key=lambda kept: -kept.novelty)
    # The last rank is where the sample is drawn from.
    usual, ranks = baseline.reference.read("prompt_ranks"), window.read("prompt_ranks")
    new = likely_new(float(ranks[-1]), float(usual[-1] / max(1.0, usual.sum()) * ranks.sum()), novel)
    why = unborn(share.value * window.count("prompts"), new)
    terms = () if why else _terms_of(new, baseline.reference.sample)
    return [
        Shift(
            kind="new_cluster",
            name=f"{_UNLIKE}, {why}" if why else _title(terms, _UNLIKE),
            baseline=0.0,
            window=share.value,
            interval=(share.low, share.high),
            terms=terms,
            exemplars=_exemplars(novel),
        )
    ]


def _terms_of(novel: Sequence[Kept], others: Sequence[Kept]) -> tuple[str, ...]:
    """Return the words that tell new prompts from some of the baseline's."""
    group = np.array([0] * len(novel) + [1] * len(others), dtype=np.intp)
    return top_terms([kept.prompt for kept in (*novel, *others)], group, 1)[0]


def _clusters(kind: str, baseline: Baseline, window: Bucket) -> list[Shift]:
    side, field = (
        (baseline.prompt, "prompt_clusters")
        if kind == "prompt_cluster"
        else (baseline.response, "response_clusters")
    )
    before, after = baseline.reference.read(field), window.read(field)
    m, n = before.sum(), after.sum()
    if not m or not n:
        return []
    p, q = before / m, after / n
    pooled = (before + after) / (m + n)
    error = np.sqrt(np.maximum(pooled * (1 - pooled), 0.5 / (m + n)) * (1 / n + 1 / m))
    z = (q - p) / error
    dispersion = float(baseline.overdispersion[kind.removesuffix("_cluster")].mean())
    low, high = wilson(q, n / dispersion)
    found = [
        k
        for k in np.argsort(-np.abs(z))[:_SHOWN]
        if abs(z[k]) > _STANDS_OUT and abs(q[k] - p[k]) > _SMALLEST_SHARE
    ]
    return [
        Shift(
            kind=kind,
            name=_title(side.terms[k] if k < len(side.terms) else (), f"cluster {k}"),
            baseline=float(p[k]),
            window=float(q[k]),
            interval=(float(low[k]), float(high[k])),
            terms=side.terms[k] if k < len(side.terms) else (),
            exemplars=_exemplars([kept for kept in window.sample if _cluster_of(kept, kind) == k]),
        )
        for k in found
    ]


def _cluster_of(kept: Kept, kind: str) -> int:
    return kept.prompt_cluster if kind == "prompt_cluster" else kept.response_cluster


def _style(baseline: Baseline, window: Bucket) -> list[Shift]:
    found = style_shifts(baseline, window)
    if found is None:
        return []
    shifts, errors, low, high = found
    before = baseline.reference.read("response_style") / baseline.reference.count("answers")
    after = window.read("response_style") / window.count("answers")
    order = [
        j
        for j in np.argsort(-np.abs(shifts))
        if abs(shifts[j]) >= max(_SMALLEST_EFFECT, _STANDS_OUT * errors[j])
    ]
    return [
        Shift(
            kind="style",
            name=RESPONSE_FEATURES[j],
            baseline=float(before[j]),
            window=float(after[j]),
            interval=(float(low[j]), float(high[j])),
        )
        for j in order[:5]
    ]


def _title(terms: Sequence[str], otherwise: str) -> str:
    return ", ".join(terms[:3]) or otherwise


def _exemplars(kept: Sequence[Kept]) -> tuple[Exemplar, ...]:
    return tuple(Exemplar(id=k.id, prompt=k.prompt, response=k.response or None) for k in kept[:_SHOWN])
