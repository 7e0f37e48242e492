"""Scorer, model or traffic: what rescoring, equal texts and canaries tell apart, on public data. Prints Markdown tables.

    .venv/bin/python -m benchmarks.detection.scorer DATA [--seeds 20] [--only looks pairs canaries]

`looks`: anchors of real answers, scored again by the same scorer with the noise of half precision, and by others.
`pairs`: what `compare` says is the cause when the scorer, the model, the traffic or nothing changed between two files
that carry rewards; the other scorer is a judge's win probability for the very same answers. `canaries`: 30 prompts, 8
answers each of one model as reference; then its other answers (false alarms), or another model's, one a minute.
Without DATA nothing is measured, and that is said.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from scipy.stats import beta

from monitor.canary.answers import Answered, answered, make_reference, residual_of
from monitor.canary.evidence import Bets
from monitor.contract import Cause, Exchange
from monitor.contract.config import BaselineConfig, Detection
from monitor.evidence.rescoring import FIRST_LOOK, Noise, change_of, choose_anchors, compare_anchors
from monitor.offline.compare import compare
from monitor.offline.scoring import score_all
from monitor.scorer.local import LocalScorer
from monitor.scorer.open import SHIPPED
from monitor.sketch.scored import Scored
from monitor.threads import use_one_thread

PROMPTS, ROUNDS, HOURS = 30, 8, 2
# Models of the judged answers that stand for one another in `pairs`, each against the next.
MODELS = 8
# Draws in which nothing changes, for each one in which something does.
_NULL_DRAWS = 10
Row = dict[str, Any]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", nargs="*", choices=list(_SECTIONS), default=list(_SECTIONS))
    arguments = parser.parse_args()
    if not (arguments.data / "bon_tulu16.jsonl.gz").exists():
        sys.exit(f"{arguments.data}: no bon_tulu16.jsonl.gz here; nothing was measured")
    use_one_thread()
    for name in arguments.only:
        _SECTIONS[name](arguments.data, LocalScorer(SHIPPED), arguments.seeds)
        print(flush=True)


def _table(folder: Path, name: str) -> Iterator[Row]:
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _hash(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _share(hits: int, of: int) -> str:
    low = beta.ppf(0.025, hits, of - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, of - hits) if hits < of else 1.0
    return f"{hits} of {of} ({100 * low:.1f} to {100 * high:.1f} %)"


# --- looks: the same texts scored again ---


class Rescoring(NamedTuple):
    """How a scorer differs from the one before: rewards float32 (n,), embeddings float32 (n, dim), and randomness."""

    title: str
    reward: Callable[[Any, np.random.Generator], Any]
    embedding: Callable[[Any, np.random.Generator], Any]
    changed: bool


def _same(values: Any, _: np.random.Generator) -> Any:
    return values


def _shifted(by_sd: float) -> Callable[[Any, np.random.Generator], Any]:
    return lambda values, _: values + np.float32(by_sd) * values.std()


def _jitter(sd: float) -> Callable[[Any, np.random.Generator], Any]:
    return lambda values, rng: (values + sd * values.std() * rng.standard_normal(values.shape)).astype(
        np.float32
    )


def _half(values: Any, _: np.random.Generator) -> Any:
    return values.astype(np.float16).astype(np.float32)


def _eighth(values: Any, _: np.random.Generator) -> Any:
    return (np.rint(values * 127 / np.abs(values).max()) * np.abs(values).max() / 127).astype(np.float32)


def _turned(values: Any, _: np.random.Generator) -> Any:
    return values[:, ::-1]


_RESCORINGS = (
    Rescoring("the same, to the last bit", _same, _same, changed=False),
    Rescoring("half precision", _half, _half, changed=False),
    Rescoring("noise of 1 % of the spread", _jitter(0.01), _jitter(0.01), changed=False),
    Rescoring("rewards 0.05 sd lower", _shifted(-0.05), _same, changed=True),
    Rescoring("rewards 0.5 sd lower", _shifted(-0.5), _same, changed=True),
    Rescoring("rewards in another order by 0.2 sd", _jitter(0.2), _same, changed=True),
    Rescoring("embeddings in 8 bits", _same, _eighth, changed=True),
    Rescoring("another embedder", _same, _turned, changed=True),
)


def _looks(folder: Path, scorer: LocalScorer, seeds: int) -> None:
    rows = sorted(_table(folder, "bon_tulu16"), key=lambda row: _hash(row["id"]))[:4000]
    scored = score_all(_exchanges(rows), scorer)
    print("| 64 anchors scored again: what is different | looks | said to have changed | should |")
    print("|---|--:|--:|---|")
    for kind in _RESCORINGS:
        hits = looks = 0
        for seed in range(10 * seeds):
            rng = np.random.default_rng([3, seed])
            anchors = choose_anchors(scored.take(rng.permutation(len(rows))[:300]))
            prompt, response = (part.astype(np.float32) for part in (anchors.prompt, anchors.response))
            noise = Noise() if kind.changed else _learnt(kind, anchors, prompt, response, rng)
            found = compare_anchors(
                anchors,
                kind.embedding(prompt, rng),
                kind.embedding(response, rng),
                kind.reward(anchors.reward, rng),
                noise,
            )
            looks, hits = looks + 1, hits + (change_of(found) is not None)
        print(f"| {kind.title} | {looks} | {hits} | {'all' if kind.changed else 'none'} |", flush=True)


def _learnt(kind: Rescoring, anchors: Any, prompt: Any, response: Any, rng: np.random.Generator) -> Noise:
    """Return the noise that the first look teaches."""
    rewards = kind.reward(anchors.reward, rng)
    looked = compare_anchors(
        anchors, kind.embedding(prompt, rng), kind.embedding(response, rng), rewards, FIRST_LOOK
    )
    return looked.noise


def _exchanges(rows: Sequence[Row], *, rewards: bool = False) -> list[Exchange]:
    return [
        Exchange(
            id=f"{place} {row.get('id', '')}",
            time=0.0,
            prompt=row["prompt"],
            response=row["response"],
            reward=float(row["p_win"]) if rewards else None,
        )
        for place, row in enumerate(rows)
    ]


# --- pairs: two files with rewards ---


def _pairs(folder: Path, scorer: LocalScorer, _seeds: int) -> None:
    by_model: dict[str, list[Row]] = defaultdict(list)
    for row in _table(folder, "reward_train"):
        by_model[row["model"]].append(row)
    names = sorted(by_model, key=_hash)[:MODELS]
    heads = {name: score_all(_exchanges(by_model[name]), scorer) for name in names}
    found: dict[str, Counter[Cause]] = defaultdict(Counter)
    for place, name in enumerate(names):
        mine, other = _carrying(heads[name]), _carrying(heads[names[(place + 1) % MODELS]])
        judged = score_all(_exchanges(by_model[name], rewards=True), scorer)
        order = np.random.default_rng([4, place]).permutation(len(mine.exchanges))
        half, rest = order[:400], order[400:800]
        cases = {
            "scorer: the same answers, judged by another": (mine.take(half), judged.take(half)),
            "scorer: a quarter of the answers are the same": (
                mine.take(half),
                judged.take(np.concatenate([half[:100], rest[:300]])),
            ),
            "model: another one's answers to the same prompts": (mine.take(half), other.take(half)),
            "none: other prompts of the same kind": (mine.take(half), mine.take(rest)),
        }
        for title, (baseline, window) in cases.items():
            found[title][_cause(baseline, window, scorer)] += 1
    print("| two files of 400 exchanges with rewards: what changed | right | said |\n|---|---|---|")
    for title, causes in found.items():
        right = causes[Cause(title.partition(":")[0])]
        said = ", ".join(f"{cause} {count}" for cause, count in causes.most_common())
        print(f"| {title} | {_share(right, causes.total())} | {said} |", flush=True)


def _carrying(scored: Scored) -> Scored:
    """Return exchanges that carry the scorer's rewards as given ones."""
    exchanges = [
        msgspec.structs.replace(e, reward=float(r))
        for e, r in zip(scored.exchanges, scored.reward, strict=True)
    ]
    return scored._replace(exchanges=exchanges)


def _cause(baseline: Scored, window: Scored, scorer: LocalScorer) -> Cause:
    settings = {"learning": BaselineConfig(), "detection": Detection(), "now": 0.0}
    return compare(baseline, window, scorer=scorer.identity, alpha=0.01, **settings).cause


# --- canaries: fixed prompts ---


class Answers(NamedTuple):
    """Scored answers by prompt: 16 of one model, and one of each other model."""

    prompts: list[str]
    own: dict[str, list[Answered]]
    others: dict[str, dict[str, Answered]]


def _canaries(folder: Path, scorer: LocalScorer, seeds: int) -> None:
    answers = _read_answers(folder, scorer)
    alarms = asked = 0
    delays: dict[str, list[float]] = defaultdict(list)
    for seed in range(_NULL_DRAWS * seeds):
        rng = np.random.default_rng([5, seed])
        chosen = [answers.prompts[place] for place in rng.permutation(len(answers.prompts))[:PROMPTS]]
        draws = {prompt: rng.permutation(len(answers.own[prompt])) for prompt in chosen}
        told = [
            [answers.own[prompt][draws[prompt][draw]] for prompt in chosen]
            for draw in range(min(map(len, draws.values())))
        ]
        reference = make_reference(list(_numbered(told[:ROUNDS])), PROMPTS)
        bets = Bets(reference, 1.0)
        quiet = list(_numbered(told[ROUNDS:]))
        alarms, asked = alarms + (_delay(bets, reference, quiet) < np.inf), asked + len(quiet)
        for name, said in answers.others.items() if seed < seeds else ():
            once = [[said[prompt] for prompt in chosen]]
            delays[name].append(_delay(bets, reference, list(_numbered(once * (HOURS * 60 // PROMPTS)))))
    print(f"{PROMPTS} prompts, {ROUNDS} answers each as reference, 60 canaries an hour.\n")
    days = asked / 60 / 24
    print(
        f"The same model's other answers, {_NULL_DRAWS * seeds} draws: {alarms} alarms in {asked} canaries ({days:.1f} days).\n"
    )
    print("| another model answers | median, canaries | 90 % | missed within two hours |\n|---|--:|--:|--:|")
    for name, found in sorted(delays.items(), key=lambda item: float(np.median(item[1]))):
        middle, late = (np.quantile(found, q, method="higher") for q in (0.5, 0.9))
        print(f"| {name} | {middle:.0f} | {late:.0f} | {_share(int(np.isinf(found).sum()), len(found))} |")


def _numbered(rounds: Sequence[Sequence[Answered]]) -> Iterator[Answered]:
    """Give prompts their numbers and answers their times, one a minute."""
    minute = 0
    for answers in rounds:
        for prompt, answer in enumerate(answers):
            minute += 1
            yield msgspec.structs.replace(answer, prompt=prompt, time=60.0 * minute)


def _delay(bets: Bets, reference: Any, answers: Sequence[Answered]) -> float:
    wealth = bets.start(0.0)
    for count, answer in enumerate(answers, start=1):
        residual, different = residual_of(reference, answer)
        wealth = bets.advance(wealth, residual, different=different, now=answer.time)
        if wealth.since is not None:
            return float(count)
    return np.inf


def _read_answers(folder: Path, scorer: LocalScorer, prompts: int = 240) -> Answers:
    own: dict[str, list[Row]] = defaultdict(list)
    for row in _table(folder, "bon_tulu16"):
        own[row["prompt"]].append(row)
    chosen = sorted(own, key=_hash)[:prompts]
    others: dict[str, dict[str, str]] = defaultdict(dict)
    for name in ("ae_openai", "ae_finetunes", "ae_style"):
        for row in _table(folder, name):
            if row["prompt"] in own:
                others[row["version"]].setdefault(row["prompt"], row["response"])
    complete = {name: said for name, said in others.items() if all(prompt in said for prompt in chosen)}
    texts = {
        prompt: [row["response"] for row in sorted(own[prompt], key=lambda r: _hash(r["id"]))]
        for prompt in chosen
    }
    return Answers(
        chosen,
        {prompt: _heard(scorer, prompt, texts[prompt]) for prompt in chosen},
        {
            name: {prompt: _heard(scorer, prompt, [said[prompt]])[0] for prompt in chosen}
            for name, said in complete.items()
        },
    )


def _heard(scorer: LocalScorer, prompt: str, texts: Sequence[str]) -> list[Answered]:
    scores = scorer.score([prompt] * len(texts), texts)
    return [
        answered(0, 0.0, text, scores.response[place], float(scores.reward[place]))
        for place, text in enumerate(texts)
    ]


_SECTIONS: dict[str, Callable[[Path, LocalScorer, int], None]] = {
    "looks": _looks,
    "pairs": _pairs,
    "canaries": _canaries,
}


if __name__ == "__main__":
    main()
