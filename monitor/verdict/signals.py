"""Signals: every number that is compared with the baseline, measured from two buckets.

Law of this file: it measures and never judges. Each signal is one small function of (baseline, window); `SIGNALS` is
the list of all. The cost does not depend on how many exchanges the window holds. A signal that cannot be measured
(no answers, no rewards, no times) is absent, not zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from monitor.baseline.frozen import Baseline
from monitor.baseline.normal_scores import interval_means
from monitor.contract import Interval, Signal, Tier
from monitor.evidence.repetition import COUNTERS, repeated
from monitor.sketch.bucket import Bucket
from monitor.sketch.layout import PROMPT_SCORES, RATES, RESPONSE_SCORES, SYSTEM_SCORES, known_share
from monitor.text.style import PROMPT_FEATURES, RESPONSE_FEATURES
from monitor.verdict.divergence import Divergence, compare_histograms
from monitor.verdict.novelty import NewShare, new_share
from monitor.verdict.rewards import (
    CONTROLLED,
    FEWEST,
    dispersion_of,
    reward_behaviour,
    reward_scale,
    style_controlled,
)
from monitor.verdict.share_interval import difference, share_limits
from monitor.verdict.style_shifts import style_shifts

Floats = NDArray[np.float64]
Measure = Callable[[Baseline, Bucket], Signal | None]
# English prose has a third of function words, terse lists a fifth; other languages share a few of them.
_ENGLISH = 0.12
# A user who is in the samples so often is named.
_SEEN_OFTEN = 3


def measure(baseline: Baseline, window: Bucket) -> dict[str, Signal]:
    """Measure all signals against the baseline of the window's own hours; their tiers are `ok` until judged."""
    baseline = baseline.matched(window)
    measured = {name: signal(baseline, window) for name, signal in SIGNALS.items()}
    return {name: signal for name, signal in measured.items() if signal is not None}


def two_sided(effect: float, error: float) -> float:
    """Return the two-sided normal p-value of an effect with this standard error."""
    return float(2 * norm.sf(abs(effect) / error)) if error > 0 else 1.0


def _interval(effect: float, error: float) -> tuple[float, float]:
    return (effect - 1.96 * error, effect + 1.96 * error)


def _new_clusters(baseline: Baseline, window: Bucket) -> Signal | None:
    share = new_share_of(baseline, window)
    if share is None:
        return None
    return Signal(
        value=share.value,
        tier=Tier.OK,
        unit="share of prompts",
        null_mean=share.null_mean,
        null_high=share.null_high,
        baseline_mean=0.0,
        window_mean=share.value,
        p_value=share.p_value,
        effect=share.value,
        interval=(share.low, share.high),
    )


def new_share_of(baseline: Baseline, window: Bucket) -> NewShare | None:
    """Estimate the share of new prompts of a window beside a baseline that is matched to its hours."""
    usual = baseline.reference.read("prompt_ranks")
    dispersion = dispersion_of(baseline, "prompt", "prompt novelty", PROMPT_SCORES)
    return new_share(window.read("prompt_ranks"), int(usual.sum()), dispersion, usual)


def _prompt_novelty(baseline: Baseline, window: Bucket) -> Signal | None:
    reference = baseline.reference
    usual, ranks = reference.read("prompt_ranks"), window.read("prompt_ranks")
    n, m = ranks.sum(), usual.sum()
    if not n or not m:
        return None
    mean = float((ranks * (np.arange(len(ranks)) + 0.5)).sum() / len(ranks) / n)
    place = PROMPT_SCORES.index("prompt novelty")
    before = reference.read("prompt_scores")[place] / reference.count("prompts")
    effect = float(window.read("prompt_scores")[place] / n - before)
    dispersion = dispersion_of(baseline, "prompt", "prompt novelty", PROMPT_SCORES)
    error, own_error = (
        float(np.sqrt(dispersion * (variance / n + 1 / m))) for variance in (1.0, _variance_of_scores(ranks))
    )
    return _standardised("mean rank of distance", mean, 0.5, effect, error, own_error=own_error)


def _variance_of_scores(ranks: Floats) -> float:
    """Return the variance of normal scores of which there is a histogram (cells,) of ranks."""
    share, score = ranks / ranks.sum(), interval_means(np.full(len(ranks), 1.0 / len(ranks)))
    return float(share @ score**2 - (share @ score) ** 2)


def _standardised(
    unit: str,
    value: float,
    reference: float,
    effect: float,
    error: float,
    *,
    own_error: float | None = None,
    interval: Interval | None = None,
) -> Signal:
    """`error` is the effect's standard error without change; the interval rests on `own_error` unless it is given."""
    return Signal(
        value=value,
        tier=Tier.OK,
        unit=unit,
        null_mean=0.0,
        null_high=float(norm.ppf(0.9995)) * error,
        baseline_mean=reference,
        window_mean=value,
        p_value=two_sided(effect, error),
        effect=effect,
        interval=interval or _interval(effect, error if own_error is None else own_error),
    )


def _divergence(unit: str, found: Divergence | None) -> Signal | None:
    if found is None:
        return None
    return Signal(
        value=found.value,
        tier=Tier.OK,
        unit=unit,
        null_mean=found.null_mean,
        null_high=found.null_high,
        p_value=found.p_value,
        effect=found.excess,
    )


def _mean_dispersion(baseline: Baseline, family: str) -> float:
    return float(baseline.overdispersion[family].mean())


def _prompt_length(baseline: Baseline, window: Bucket) -> Signal | None:
    """Measure what the model is given to read: the prompt, and what stands before it."""
    reference, place = baseline.reference, PROMPT_SCORES.index("prompt length")
    n, m = window.count("prompts"), reference.count("prompts")
    if n < FEWEST or m < FEWEST:
        return None
    effect = float(window.read("prompt_scores")[place] / n - reference.read("prompt_scores")[place] / m)
    after, before = (
        float(np.expm1(bucket.read("prompt_style")[PROMPT_FEATURES.index("length")] / of))
        for bucket, of in ((window, n), (reference, m))
    )
    spread = dispersion_of(baseline, "prompt", "prompt length", PROMPT_SCORES) * (1 / n + 1 / m)
    return _standardised("characters (geometric mean)", after, before, effect, float(np.sqrt(spread)))


def _prompt_js(baseline: Baseline, window: Bucket) -> Signal | None:
    counts = baseline.reference.read("prompt_clusters"), window.read("prompt_clusters")
    return _divergence("bits", compare_histograms(*counts, _mean_dispersion(baseline, "prompt")))


def _response_js(baseline: Baseline, window: Bucket) -> Signal | None:
    counts = baseline.reference.read("response_clusters"), window.read("response_clusters")
    return _divergence("bits", compare_histograms(*counts, _mean_dispersion(baseline, "response")))


def _reward_shape(baseline: Baseline, window: Bucket) -> Signal | None:
    counts = baseline.reference.read("reward_ranks"), window.read("reward_ranks")
    dispersion = dispersion_of(baseline, "response", "reward", RESPONSE_SCORES)
    return _divergence("bits", compare_histograms(*counts, dispersion))


def _given_prompt(baseline: Baseline, window: Bucket) -> Signal | None:
    """Largest shift of a response score once its prompt is accounted for."""
    n, m = window.count("supported"), baseline.reference.count("supported")
    if n < FEWEST or not m:
        return None
    shifts = window.read("response_scores") / n - baseline.reference.read("response_scores") / m
    known = m * known_share(RESPONSE_SCORES)
    errors = np.sqrt(baseline.overdispersion["response"] * (1 / n + 1 / known))
    # Answers to prompts that the baseline learnt from fit better than new ones: a rise says nothing.
    shifts[_FIT] = min(shifts[_FIT], 0.0)
    shifts[CONTROLLED] = 0.0  # a signal of its own, in the unit of the reward
    return _largest(shifts, errors, RESPONSE_SCORES)


def _answer_fit(baseline: Baseline, window: Bucket) -> Signal | None:
    """How far answers address their own prompts (see `contrast`); the effect is that of its score given the prompt."""
    n, m = window.count("supported"), baseline.reference.count("supported")
    if n < FEWEST or m < FEWEST or not baseline.contrast.learnt:
        return None
    before, after = baseline.reference.total("answer_fit") / m, window.total("answer_fit") / n
    shift = window.read("response_scores")[_FIT] / n - baseline.reference.read("response_scores")[_FIT] / m
    dispersion = float(baseline.overdispersion["response"][_FIT])
    error = float(np.sqrt(dispersion * (1 / n + 1 / m)))
    return _standardised("mean fit of answer to prompt", after, before, float(shift), error)


_FIT = RESPONSE_SCORES.index("answer fit")


def _style(baseline: Baseline, window: Bucket) -> Signal | None:
    """Largest shift of a style feature of the responses, whatever was asked."""
    found = style_shifts(baseline, window)
    return (
        None
        if found is None
        else _largest(found.shift, found.error, RESPONSE_FEATURES, limits=(found.low, found.high))
    )


def _largest(
    shifts: Floats, errors: Floats, names: tuple[str, ...], *, limits: tuple[Floats, Floats] | None = None
) -> Signal:
    top = int(np.argmax(np.abs(shifts) / errors))
    effect, error = float(shifts[top]), float(errors[top])
    null_high = float(norm.ppf(1 - 0.0005 / len(shifts))) * error
    return Signal(
        value=abs(effect),
        tier=Tier.OK,
        unit="sd of the baseline",
        null_mean=float(np.sqrt(2 * np.log(len(shifts)))) * error,
        null_high=null_high,
        p_value=min(1.0, len(shifts) * two_sided(effect, error)),
        effect=effect,
        interval=(float(limits[0][top]), float(limits[1][top])) if limits else _interval(effect, error),
        note=names[top].removeprefix("response "),
    )


def _style_feature(feature: str, unit: str, shown: Callable[[float], float]) -> Measure:
    index = RESPONSE_FEATURES.index(feature)

    def measured(baseline: Baseline, window: Bucket) -> Signal | None:
        found = style_shifts(baseline, window)
        if found is None:
            return None
        before = shown(
            float(baseline.reference.read("response_style")[index]) / baseline.reference.count("answers")
        )
        after = shown(float(window.read("response_style")[index]) / window.count("answers"))
        effect, error, low, high = (float(part[index]) for part in found)
        return _standardised(unit, after, before, effect, error, interval=(low, high))

    return measured


def _language(baseline: Baseline, window: Bucket) -> Signal | None:
    """Measure function words of English where the baseline is English, else letters beyond ASCII."""
    # Chosen by the baseline alone: what is chosen for moving most has no interval of its own.
    words = float(baseline.reference.read("response_style")[RESPONSE_FEATURES.index("function")])
    if words >= _ENGLISH * baseline.reference.count("answers"):
        return _style_feature("function", "English function words per word", _same)(baseline, window)
    return _style_feature("non_ascii", "share of bytes beyond ASCII", _same)(baseline, window)


def _rate(name: str, of: str) -> Measure:
    """Share of exchanges; the effect is Cohen's h, the p-value of the pooled two-proportion test."""
    place = [rate for _, rate, _ in RATES].index(name)

    def measured(baseline: Baseline, window: Bucket) -> Signal | None:
        n, m = window.count(of), baseline.reference.count(of)
        if not n or not m:
            return None
        before, after = baseline.reference.count(name) / m, window.count(name) / n
        effect = 2 * (np.arcsin(np.sqrt(after)) - np.arcsin(np.sqrt(before)))
        pooled = (baseline.reference.count(name) + window.count(name)) / (n + m)
        spread = float(baseline.overdispersion["rate"][place]) * (1 / n + 1 / m)
        error = np.sqrt(max(pooled * (1 - pooled), 0.25 / (n + m)) * spread)
        signal = _standardised(f"share of {of}", after, before, float(effect), float(np.sqrt(spread)))
        limits = [
            share_limits(bucket.count(name), bucket.count(of), spread * n * m / (n + m))
            for bucket in (window, baseline.reference)
        ]
        return msgspec.structs.replace(
            signal,
            p_value=two_sided(after - before, float(error)),
            interval=tuple(map(float, difference(*limits))),
        )

    return measured


def _repeated(name: str, unit: str) -> Measure:
    """Share of the traffic in the busiest cells of a counter; the effect is what they hold beyond the baseline's busiest."""
    place = list(COUNTERS).index(name)

    def measured(baseline: Baseline, window: Bucket) -> Signal | None:
        field, dispersion = COUNTERS[name], float(baseline.overdispersion["cells"][place])
        found = repeated(baseline.reference.read(field), window.read(field), dispersion)
        if found is None:
            return None
        signal = _standardised(unit, found.window, found.baseline, found.window - found.baseline, found.error)
        return msgspec.structs.replace(signal, p_value=found.p_value, note=_busiest(name, window))

    return measured


def _busiest(name: str, window: Bucket) -> str:
    """Name the user that most of the sampled exchanges are from, where one stands out."""
    users = Counter(kept.user for kept in (*window.sample, *window.novel) if kept.user)
    top = users.most_common(1)
    return f"user {top[0][0]}" if name == "flood" and top and top[0][1] >= _SEEN_OFTEN else ""


def _latency(baseline: Baseline, window: Bucket) -> Signal | None:
    n, m = window.count("timed"), baseline.reference.count("timed")
    if n < FEWEST or m < FEWEST:
        return None
    place = SYSTEM_SCORES.index("latency")
    effect = float(
        window.read("system_scores")[place] / n - baseline.reference.read("system_scores")[place] / m
    )
    before, after = np.exp(baseline.reference.total("latency") / m), np.exp(window.total("latency") / n)
    spread = dispersion_of(baseline, "system", "latency", SYSTEM_SCORES) * (1 / n + 1 / m)
    return _standardised("s (geometric mean)", float(after), float(before), effect, float(np.sqrt(spread)))


def _reward(baseline: Baseline, window: Bucket) -> Signal | None:
    """Mean reward; the effect is the relative change of the part that the prompts do not explain."""
    n, m = window.count("rewarded"), baseline.reference.count("rewarded")
    if n < FEWEST or m < FEWEST:
        return None
    before, after = baseline.reference.total("reward") / m, window.total("reward") / n
    change, error = reward_behaviour(baseline, window)
    scale = reward_scale(baseline)
    effect, error = change / scale, error / scale
    return Signal(
        value=after,
        tier=Tier.OK,
        unit="reward",
        null_mean=0.0,
        null_high=float(norm.ppf(0.9995)) * error,
        baseline_mean=before,
        window_mean=after,
        p_value=two_sided(effect, error),
        effect=effect,
        interval=_interval(effect, error),
    )


def _style_controlled_reward(baseline: Baseline, window: Bucket) -> Signal | None:
    """Relative change of the reward that neither prompts nor style and content of the answers explain."""
    found = style_controlled(baseline, window)
    if found is None:
        return None
    change, error = found
    return _standardised("relative change", change, 0.0, change, error)


def _same(value: float) -> float:
    return value


def _exponential(value: float) -> float:
    return float(np.expm1(value))


SIGNALS: dict[str, Measure] = {
    "new_clusters": _new_clusters,
    "prompt_novelty": _prompt_novelty,
    "prompt_js": _prompt_js,
    "prompt_length": _prompt_length,
    "response_js": _response_js,
    "response_given_prompt": _given_prompt,
    "answer_fit": _answer_fit,
    "response_style": _style,
    "reward": _reward,
    "style_controlled_reward": _style_controlled_reward,
    "reward_shape": _reward_shape,
    "length": _style_feature("length", "characters (geometric mean)", _exponential),
    "lists": _style_feature("list_items", "list items (geometric mean)", _exponential),
    "code": _style_feature("code", "code marks (geometric mean)", _exponential),
    "markdown": _style_feature("bold", "bold passages (geometric mean)", _exponential),
    "passive_voice": _style_feature("passive", "passives per sentence", _same),
    "hedging": _style_feature("hedging", "hedging words per word", _same),
    "language": _language,
    "repetition": _style_feature("repetition", "share of repeated word triples", _same),
    "unfinished": _style_feature("unfinished", "share of answers", _same),
    "refusal": _rate("refused", "answers"),
    "truncation": _rate("truncated", "exchanges"),
    "empty": _rate("empty", "exchanges"),
    "incomplete": _rate("incomplete", "exchanges"),
    "errors": _rate("errors", "exchanges"),
    "latency": _latency,
    "duplicates": _repeated("duplicates", "share of prompts"),
    "flood": _repeated("flood", "share of exchanges"),
}
