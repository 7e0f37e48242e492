"""Who changed: the scorer, the model or the traffic, with and without looking again and canaries. Prints a table.

    .venv/bin/python -m benchmarks.detection.triangle DATA [--seeds 10]

A baseline of one model's answers (ten samples a minute, 3,000 of them); then for two hours something else: the same
rewards half a deviation lower (another scorer), another model's answers to the same prompts (live and to canaries), or
prompts of a collection that the baseline has none of (traffic). The cause is that of the verdict after the two hours,
as the monitor would give it. Without DATA nothing is measured, and that is said.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from benchmarks.detection.scorer import PROMPTS, ROUNDS, _exchanges, _hash, _numbered, _share, _table
from monitor.baseline import Baseline, build_baseline
from monitor.canary.answers import Answered, answered
from monitor.canary.course import Course, Plan, finding, taken_in
from monitor.contract import Cause, Verdict
from monitor.contract.config import BaselineConfig, Detection
from monitor.evidence.edetector import Detector
from monitor.evidence.rescoring import Noise, ScorerChange, change_of, choose_anchors, compare_anchors
from monitor.offline.scoring import score_all
from monitor.scorer.local import LocalScorer
from monitor.scorer.open import SHIPPED
from monitor.sketch.bucket import Bucket
from monitor.sketch.features import extract
from monitor.sketch.fold import fold_rows
from monitor.sketch.hidden import hide
from monitor.sketch.scored import Scored
from monitor.threads import use_one_thread
from monitor.verdict.canary import with_canaries
from monitor.verdict.judge import judge
from monitor.verdict.scorer import hidden_names, under_changed_scorer
from monitor.verdict.signals import measure

SIZE, A_MINUTE, MINUTES = 3000, 10, 120
HELD_OUT = "koala"
OTHER = ("vicuna-7b-v1.5", "gpt-3.5-turbo-0301", "phi-2-sft")
LOWER = 0.5


class World(NamedTuple):
    """Scored exchanges by prompt collection, and the same prompts answered by others."""

    known: Scored
    held_out: Scored
    others: dict[str, Scored]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    if not (arguments.data / "bon_tulu16.jsonl.gz").exists():
        sys.exit(f"{arguments.data}: no bon_tulu16.jsonl.gz here; nothing was measured")
    use_one_thread()
    world = _world(arguments.data, LocalScorer(SHIPPED))
    said: dict[tuple[str, bool], Counter[Cause]] = defaultdict(Counter)
    for seed in range(arguments.seeds):
        for truth in ("scorer", "model", "traffic", "none"):
            alone, whole = _causes(world, truth, seed)
            said[truth, False][alone] += 1
            said[truth, True][whole] += 1
    print("| what changed | right by traffic alone | said | right with looks and canaries | said |")
    print("|---|---|---|---|---|")
    for truth in ("scorer", "model", "traffic", "none"):
        cells = [truth]
        for helped in (False, True):
            causes = said[truth, helped]
            cells.append(_share(causes[Cause(truth)], causes.total()))
            cells.append(", ".join(f"{cause} {count}" for cause, count in causes.most_common()))
        print(f"| {' | '.join(cells)} |", flush=True)


def _world(folder: Path, scorer: LocalScorer) -> World:
    rows = sorted(_table(folder, "bon_tulu16"), key=lambda row: _hash(row["id"]))
    known = [row for row in rows if row["dataset"] != HELD_OUT][:6000]
    held_out = [row for row in rows if row["dataset"] == HELD_OUT][:1500]
    prompts = {row["prompt"] for row in known}
    others: dict[str, list[Any]] = defaultdict(list)
    for name in ("ae_openai", "ae_finetunes"):
        for row in _table(folder, name):
            if row["version"] in OTHER and row["prompt"] in prompts:
                others[row["version"]].append(row)
    return World(
        score_all(_exchanges(known), scorer),
        score_all(_exchanges(held_out), scorer),
        {name: score_all(_exchanges(found), scorer) for name, found in others.items()},
    )


def _causes(world: World, truth: str, seed: int) -> tuple[Cause, Cause]:
    """Return the cause by traffic alone, and with looks and canaries."""
    rng = np.random.default_rng([6, seed])
    rows = rng.permutation(len(world.known.exchanges))
    mine, rest = world.known.take(rows[:SIZE]), world.known.take(rows[SIZE:])
    baseline = build_baseline(mine, route="r", scorer="s", settings=BaselineConfig(), created=0.0)
    other = world.others[OTHER[seed % len(OTHER)]]
    live = {"model": other, "traffic": world.held_out}.get(truth, rest)
    lower = LOWER * float(mine.reward.std()) if truth == "scorer" else 0.0
    live = live._replace(reward=(live.reward - lower).astype(np.float32))
    changed = _look(mine, lower)
    detector, window, evidence = _two_hours(baseline, live, rng)
    settings, now = Detection(), 60.0 * MINUTES
    alone = judge(baseline, window, detector.findings(evidence), arm="control", settings=settings, now=now)
    if changed is None:
        whole = alone
    else:
        findings = detector.findings(detector.without(evidence, hidden_names(changed)))
        told = hide(window, embedding=changed.embedding)
        whole = judge(baseline, told, findings, arm="control", settings=settings, now=now)
        whole = under_changed_scorer(whole, changed, measure(baseline, window))
    return alone.cause, _canaries(whole, world, rng, Case(truth, other, lower), changed).cause


def _look(mine: Scored, lower: float) -> ScorerChange | None:
    anchors = choose_anchors(mine)
    vectors = (part.astype(np.float32) for part in (anchors.prompt, anchors.response))
    return change_of(compare_anchors(anchors, *vectors, anchors.reward - np.float32(lower), Noise()))


def _two_hours(baseline: Baseline, live: Scored, rng: np.random.Generator) -> tuple[Detector, Bucket, Any]:
    features = extract(live)
    encoded = baseline.encode(live, features)
    detector, window = Detector(baseline, 1.0), Bucket.empty(baseline.id, baseline.shape)
    evidence = detector.start()
    for minute in range(MINUTES):
        rows = rng.integers(0, len(live.exchanges), A_MINUTE)
        delta = fold_rows(baseline, live, features, encoded, rows)
        evidence = detector.advance(evidence, delta, minutes=1.0, now=60.0 * minute)
        window = window.merge(delta) if minute >= MINUTES - 60 else window
    return detector, window, evidence


class Case(NamedTuple):
    """What is true of two hours: who changed, who would answer instead, by how much rewards are lower."""

    truth: str
    other: Scored
    lower: float


def _canaries(
    verdict: Verdict, world: World, rng: np.random.Generator, case: Case, changed: ScorerChange | None
) -> Verdict:
    """Add two hours of canaries, one a minute, whose reference was made before."""
    samples: dict[str, list[Answered]] = defaultdict(list)
    for row, exchange in enumerate(world.known.exchanges):
        samples[exchange.prompt].append(_taken_down(world.known, row))
    again = {
        exchange.prompt: _taken_down(case.other, row) for row, exchange in enumerate(case.other.exchanges)
    }
    enough = [prompt for prompt, found in samples.items() if len(found) > ROUNDS and prompt in again]
    chosen = [enough[place] for place in rng.permutation(len(enough))[:PROMPTS]]
    plan = Plan("m", "r", tuple(chosen), ROUNDS, 60.0, 10**6, 1.0, "k")
    course = Course("k", PROMPTS)
    rounds = [[samples[prompt][draw] for prompt in chosen] for draw in range(ROUNDS)]
    left = {prompt: samples[prompt][ROUNDS:] for prompt in chosen}
    later = [
        [again[p] if case.truth == "model" else left[p][draw % len(left[p])] for p in chosen]
        for draw in range(MINUTES // PROMPTS)
    ]
    for answer in _numbered([*rounds, *later]):
        late = answer.time > 60.0 * PROMPTS * ROUNDS
        lowered = msgspec.structs.replace(answer, reward=answer.reward - case.lower) if late else answer
        course = taken_in(course, plan, lowered)
    found = finding(course, plan, scorer_changed=changed is not None, since=None)
    return with_canaries(verdict, [found], reward_error=Detection().reward_error)


def _taken_down(scored: Scored, row: int) -> Answered:
    text = scored.exchanges[row].response or ""
    return answered(0, 0.0, text, scored.response[row], float(scored.reward[row]))


if __name__ == "__main__":
    main()
