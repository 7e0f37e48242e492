"""What the answer fit adds: the same evidence with and without it, at the same budget and the same level.

    .venv/bin/python -m benchmarks.detection.contrast DATA [--runs 12] [--days 5] [--repeats 4] [--only live compare models anomalies costs]

Live: a baseline of 60 % of a scenario's side A; the stream draws from the rest, ten exchanges a minute, and from minute 50
on a share of it from a changed pool: answers handed round among the same prompts (`shuffled`), answers of another file
altogether (`off topic`), another model's (`swap`), or nothing. Without the answer fit its sums are zeroed, so nothing else
differs. Compare: 400 exchanges against 200 of which a share was shuffled, at level 0.01. Models: how much of the fit is lost
between any two of the models of `reward_train`, on prompts that the map was not learnt from. Anomalies: which share of
single exchanges has a p-value below a level. Everything is seeded; without DATA nothing is measured, and that is said.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.figures import Rate, Share
from benchmarks.detection.pools import Data, Row, exchanges_of
from monitor.baseline import Baseline, build_baseline
from monitor.baseline.contrast import FOLDS, fit_contrast, held_out_fit
from monitor.baseline.folds import Arrivals, folds
from monitor.baseline.single import judge_single, leading
from monitor.contract.config import BaselineConfig
from monitor.evidence import contrasts
from monitor.evidence.edetector import Detector
from monitor.evidence.twosample import compare_samples
from monitor.sketch.bucket import Bucket
from monitor.sketch.features import extract
from monitor.sketch.fold import fold_rows
from monitor.sketch.layout import RESPONSE_SCORES, layout_for
from monitor.sketch.scored import Scored
from monitor.threads import use_one_thread

SCENARIOS = (
    "ae-gpt4-0314-to-gpt35-0301",
    "zeroeval-gsm-70b-to-8b",
    "llmdrift-opinionqa-gpt35",
    "convabuse-bot-swap",
)
SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)
OFF_TOPIC = "convabuse-bot-swap"
_BEFORE, _HORIZON, _RATE = 50, 300, 10
Vectors = NDArray[np.int64]


class Sides(NamedTuple):
    """A scenario cut for the live evidence: the baseline, sketch vectors of unchanged and of changed exchanges."""

    baseline: Baseline
    unchanged: Vectors
    changed: dict[str, Vectors]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--days", type=float, default=5.0)
    parser.add_argument("--repeats", type=int, default=4)
    parts = {"live": live, "compare": compare, "models": models, "anomalies": anomalies, "costs": costs}
    parser.add_argument("--only", nargs="*", choices=list(parts), default=list(parts))
    parser.add_argument("--scenarios", nargs="*", choices=SCENARIOS, default=SCENARIOS, help="of live")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "driftgate-detection")
    arguments = parser.parse_args()
    use_one_thread()
    data = Data(arguments.data, arguments.cache)
    for name in arguments.only:
        for line in parts[name](data, arguments):
            print(line, flush=True)
        print()


def live(data: Data, arguments: argparse.Namespace) -> Iterator[str]:
    """Yield a table of delays and false alarms."""
    yield "| stream | change | share | with: median delay, seen | without: median delay, seen |"
    yield "|---|---|--:|---|---|"
    sides = {name: _sides(data, name) for name in arguments.scenarios}
    for name, side in sides.items():
        cells = [("shuffled", share) for share in SHARES] + [("off topic", 0.25), ("swap", 0.5)]
        for kind, share in cells:
            delays = [
                [_delay(side, kind, share, seed, fit=fit) for seed in range(arguments.runs)]
                for fit in (True, False)
            ]
            yield f"| {name} | {kind} | {share:.0%} | {_told(delays[0])} | {_told(delays[1])} |"
    for fit in (True, False):
        alarms = sum(_false_alarms(side, arguments.days, fit=fit) for side in sides.values())
        rate = Rate(alarms, arguments.days * len(sides))
        yield f"\nNothing changed, {'with' if fit else 'without'}: {alarms} alarms in {rate.days:g} days, {rate} in 30."


def compare(data: Data, arguments: argparse.Namespace) -> Iterator[str]:
    """Yield a table of windows that `compare` says have drifted."""
    yield "| 200 of 400 + 200, shuffled share | with | without |"
    yield "|---|---|---|"
    for share in (0.0, *SHARES):
        seen: dict[bool, list[bool]] = {True: [], False: []}
        for name in SCENARIOS:
            scored = _answered(data, name, "A")
            for repeat in range(arguments.repeats):
                order = np.random.default_rng([7, repeat]).permutation(len(scored.exchanges))
                known = scored.take(order[:400])
                window = shuffled(scored.take(order[400:600]), share, repeat)
                for fit in (True, False):
                    seen[fit].append(_drifted(known, window, repeat, fit=fit))
        yield f"| {share:.0%} | {Share(sum(seen[True]), len(seen[True]))} | {Share(sum(seen[False]), len(seen[False]))} |"


def models(data: Data, _: argparse.Namespace) -> Iterator[str]:
    """Yield how much of the answer fit is lost from one model to another."""
    by_model: dict[str, list[dict[str, object]]] = {}
    for row in data.rows("reward_train", lambda row: isinstance(row.get("p_win"), float)):
        by_model.setdefault(row["model"], []).append(row)
    held = {row["pid"] for rows in by_model.values() for row in rows if hash_of(str(row["pid"])) % 2}
    seen = {}
    for model, rows in by_model.items():
        scored = data.scored(exchanges_of(rows, "m"))
        mask = np.array([row["pid"] in held for row in rows])
        quality = float(np.mean([row["p_win"] for row in rows]))
        seen[model] = scored, mask, quality
    lost, better = [], []
    for scored, mask, quality in seen.values():
        contrast = fit_contrast(scored.prompt[~mask], scored.response[~mask])
        own = contrast.fit_of(scored.prompt[mask], scored.response[mask]).mean()
        for other, theirs, other_quality in seen.values():
            if other is not scored:
                fit = contrast.fit_of(other.prompt[theirs], other.response[theirs]).mean()
                lost.append(1.0 - fit / own)
                better.append(other_quality > quality)
    share, gain = np.array(lost), np.array(better)
    quantiles = ", ".join(f"{100 * q:g} % {np.quantile(share, q):.3f}" for q in (0.05, 0.5, 0.95))
    yield f"Fit lost between {len(seen)} models, {len(share)} ordered pairs: {quantiles}, largest {share.max():.3f}."
    yield f"Of pairs that lose more than a twentieth, the second model is the better one in {gain[share > 0.05].mean():.0%}."


def anomalies(data: Data, _: argparse.Namespace) -> Iterator[str]:
    """Yield which share of single exchanges is below a p-value."""
    yield "| exchanges | p ≤ 0.01 | p ≤ 0.05 | the fit leads |"
    yield "|---|--:|--:|--:|"
    for name in SCENARIOS:
        scored = _answered(data, name, "A")
        known, rest = _cut(scored)
        baseline = _learn(known)
        off = _off_topic(data, rest)
        for kind, some in (("unchanged", rest), ("shuffled", shuffled(rest, 1.0, 0)), ("off topic", off)):
            features = extract(some)
            unusual = judge_single(baseline, some, features, baseline.encode(some, features))
            led = np.mean([leading(unusual, row)[0] == "answer_fit" for row in range(len(some.exchanges))])
            below = " | ".join(f"{(unusual.p_value <= level).mean():.1%}" for level in (0.01, 0.05))
            yield f"| {name}, {kind} | {below} | {led:.0%} |"


def costs(data: Data, _: argparse.Namespace) -> Iterator[str]:
    """Yield what prompts that are asked again do to the fit, and what learning and using it costs."""
    rows = data.rows("bon_tulu16", lambda row: row["sample"] in {0, 1})
    first, again = (
        data.scored(exchanges_of(sorted((r for r in rows if r["sample"] == s), key=_pid), "b"))
        for s in (0, 1)
    )
    for size in (200, 400, 800):
        contrast = fit_contrast(first.prompt[:size], first.response[:size])
        own = held_out_fit(
            first.prompt[:size], first.response[:size], folds(Arrivals.at(np.zeros(size)), FOLDS, 0)
        )
        rise = (contrast.fit_of(again.prompt[:size], again.response[:size]).mean() - own.mean()) / own.std()
        yield f"New answers to all {size} prompts of a baseline seem to fit better by {rise:.2f} standard deviations."
    rng = np.random.default_rng(0)
    many = [rng.standard_normal((10_000, 256)).astype(np.float32) for _ in range(2)]
    before = time.process_time()
    held_out_fit(*many, folds(Arrivals.at(np.zeros(10_000)), FOLDS, 0))
    contrast = fit_contrast(*many)
    learnt = time.process_time()
    for _ in range(10):
        contrast.fit_of(*many)
    used = (time.process_time() - learnt) / 100_000
    yield f"10,000 exchanges of 256 dimensions: {learnt - before:.2f} s to learn, {1e6 * used:.1f} µs an exchange to use."


def shuffled(scored: Scored, share: float, seed: int) -> Scored:
    """Hand the answers of a share of the exchanges round among them."""
    rows = np.random.default_rng([8, seed]).permutation(len(scored.exchanges))[
        : round(share * len(scored.exchanges))
    ]
    source = np.arange(len(scored.exchanges))
    source[rows] = np.roll(rows, 1)
    return _answered_by(scored, scored, source)


def hash_of(text: str) -> int:
    """Return a number that depends on the text alone."""
    return sum(ord(c) * 31**i for i, c in enumerate(text[:12]))


def _pid(row: Row) -> str:
    return str(row["pid"])


def _answered_by(scored: Scored, other: Scored, source: NDArray[np.intp]) -> Scored:
    exchanges = [
        msgspec.structs.replace(e, response=other.exchanges[i].response)
        for e, i in zip(scored.exchanges, source.tolist(), strict=True)
    ]
    return Scored(exchanges, scored.prompt, other.response[source], other.reward[source], {})


def _off_topic(data: Data, scored: Scored) -> Scored:
    """Answer prompts with what another file's model said; rewards stay, so that only the texts speak."""
    other = _answered(data, OFF_TOPIC, "B")
    source = np.random.default_rng(9).integers(0, len(other.exchanges), len(scored.exchanges))
    return _answered_by(scored, other, source)._replace(reward=scored.reward)


def _answered(data: Data, name: str, side: str, most: int = 3000) -> Scored:
    scored = data.scored(data.side(data.scenario(name), side)[:most])
    return scored.take(np.flatnonzero(extract(scored).answered))


def _cut(scored: Scored) -> tuple[Scored, Scored]:
    order = np.random.default_rng(0).permutation(len(scored.exchanges))
    size = len(order) * 6 // 10
    return scored.take(order[:size]), scored.take(order[size:])


def _learn(known: Scored) -> Baseline:
    return build_baseline(known, route="default", scorer="shipped", settings=BaselineConfig(), created=0.0)


def _sides(data: Data, name: str) -> Sides:
    known, rest = _cut(_answered(data, name, "A"))
    baseline = _learn(known)
    changed = {
        "shuffled": shuffled(rest, 1.0, 0),
        "off topic": _off_topic(data, rest),
        "swap": _answered(data, name, "B"),
    }
    return Sides(baseline, _vectors(baseline, rest), {k: _vectors(baseline, s) for k, s in changed.items()})


def _vectors(baseline: Baseline, scored: Scored) -> Vectors:
    """Return one sketch vector for each of at most 600 exchanges."""
    some = scored.take(range(min(600, len(scored.exchanges))))
    features = extract(some)
    encoded = baseline.encode(some, features)
    rows = range(len(some.exchanges))
    return np.stack([fold_rows(baseline, some, features, encoded, np.array([row])).vector for row in rows])


def _delta(side: Sides, vector: Vectors, *, fit: bool) -> Bucket:
    shape = side.baseline.shape
    if not fit:
        vector[layout_for(*shape).fields["response_scores"].start + RESPONSE_SCORES.index("answer fit")] = 0
    return Bucket(side.baseline.id, shape, vector)


def _delay(side: Sides, kind: str, share: float, seed: int, *, fit: bool) -> float:
    """Return the exchanges from the change to the alarm; inf when there is none."""
    rng, detector = np.random.default_rng([3, seed]), Detector(side.baseline, 1.0)
    evidence, changed = detector.start(), side.changed[kind]
    for minute in range(_BEFORE + _HORIZON):
        new = int(rng.binomial(_RATE, share if minute >= _BEFORE else 0.0))
        vector = changed[rng.integers(0, len(changed), new)].sum(axis=0)
        vector = vector + side.unchanged[rng.integers(0, len(side.unchanged), _RATE - new)].sum(axis=0)
        evidence = detector.advance(evidence, _delta(side, vector, fit=fit), minutes=1.0, now=60.0 * minute)
        if evidence.alarmed:
            return _RATE * (minute + 1.0 - _BEFORE) if minute >= _BEFORE else float("nan")
    return float("inf")


def _false_alarms(side: Sides, days: float, *, fit: bool) -> int:
    rng, detector = np.random.default_rng(4), Detector(side.baseline, 1.0)
    evidence, alarms = detector.start(), 0
    for minute in range(round(1440 * days)):
        vector = side.unchanged[rng.integers(0, len(side.unchanged), _RATE)].sum(axis=0)
        evidence = detector.advance(evidence, _delta(side, vector, fit=fit), minutes=1.0, now=60.0 * minute)
        if evidence.alarmed:
            alarms, evidence = alarms + 1, detector.start()
    return alarms


def _drifted(known: Scored, window: Scored, seed: int, *, fit: bool) -> bool:
    if fit:
        return compare_samples(known, window, seed=seed).p_value <= 0.01
    with patch.object(contrasts, "held_out_fit", lambda prompts, _, fold: np.zeros(len(prompts)) * fold):
        return compare_samples(known, window, seed=seed).p_value <= 0.01


def _told(delays: list[float]) -> str:
    seen = sum(np.isfinite(delays))
    middle = float(np.quantile([d for d in delays if not np.isnan(d)], 0.5, method="higher"))
    return f"{'never' if np.isinf(middle) else f'{middle:.0f}'}, {seen} of {len(delays)}"


if __name__ == "__main__":
    main()
