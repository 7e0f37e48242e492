"""How far the reward head can be trusted: held-out models and prompts, single answers, length, scenarios.

Law of this file: a head that is measured has seen neither the models it ranks nor the prompts they answer (scenarios:
not the models). Near copies of a model count as that model (`family`), because a head that has seen one version has
an idea of the next.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import rankdata, spearmanr
from scoring.static import StaticEmbedder
from train_reward import Answers, centred_logits, fit, predict, read_answers

SCENARIOS = {
    "ae-vicuna-to-falcon": -1,
    "ae-gpt4-0314-to-gpt35-0301": -1,
    "ae-davinci001-to-003": 1,
    "ae-phi2-sft-to-dpo": 1,
    "bon-rm-selected": 1,
    "bon-first-to-late-samples": 1,
    "zeroeval-gsm-70b-to-8b": -1,
    "wildbench-gpt35-to-gemma7b": -1,
}
_FAMILIES = ("vicuna", "fusechat", "gpt-3.5", "openbuddy", "falcon", "oasst", "pythia", "alpaca", "gpt4")


def family(model: str) -> str:
    """Return the name that a model shares with its near copies."""
    return next((name for name in _FAMILIES if name in model.lower()), model)


class Held(NamedTuple):
    """One way to hold out: rows to train on, rows to judge."""

    train: Any
    test: Any


def splits(models: Any, prompts: Any, draws: int, *, families: bool) -> Iterator[Held]:
    """Draw half of the models (or families) and a quarter of the prompts to hold out."""
    names = np.array([family(model) if families else model for model in models])
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        kinds = np.unique(names)
        out = np.isin(names, rng.permutation(kinds)[: len(kinds) // 2])
        unseen = np.isin(prompts, rng.permutation(np.unique(prompts))[:205])
        yield Held(np.flatnonzero(~out & ~unseen), np.flatnonzero(out & unseen))


def measure(
    data: Path, embedder: StaticEmbedder, rows: list[dict[str, Any]], plain: Answers, bare: Answers
) -> None:
    """Print every figure of the model card."""
    models = np.array([row["model"] for row in rows])
    prompts = np.array([row["pid"] for row in rows])
    p_win = np.array([row["p_win"] for row in rows])
    length = np.array([len(row["response"]) for row in rows], float)
    for families in (False, True):
        found = []
        for held in splits(models, prompts, 12, families=families):
            head = _fit(plain, bare, p_win, prompts, held.train)
            got = predict(head, plain.take(held.test))
            found.append(_figures(got, held.test, (models, prompts, p_win, length)))
        print(f"held out: {'families of models' if families else 'models'}, and prompts (mean of 12 draws)")
        for name, value in zip(_FIGURES, np.nanmean(found, axis=0), strict=True):
            print(f"  {name:58s} {value:6.3f}")
    _one_family_out(rows, plain, bare)
    for name, sign in SCENARIOS.items():
        _scenario(data, embedder, (name, sign), (plain, bare, p_win, prompts, models))


_FIGURES = (
    "Spearman of models, true mean win rate",
    "the same, length of answers held constant (partial)",
    "Spearman of models by length alone",
    "Spearman of models: reward with length",
    "Spearman of single answers",
    "Spearman of single answers within one prompt",
    "Spearman of single answers: reward with length",
)


def _fit(plain: Answers, bare: Answers, p_win: Any, prompts: Any, train: Any) -> Any:
    return fit(plain.take(train), bare.take(train), centred_logits(p_win[train], prompts[train]))


def _figures(got: Any, test: Any, known: tuple[Any, Any, Any, Any]) -> list[float]:
    models, prompts, p_win, length = known
    names = np.unique(models[test])
    reward = np.array([got[models[test] == name].mean() for name in names])
    truth = np.array([p_win[models == name].mean() for name in names])
    long = np.array([length[models == name].mean() for name in names])
    within = [
        spearmanr(got[prompts[test] == prompt], p_win[test][prompts[test] == prompt])[0]
        for prompt in np.unique(prompts[test])
        if np.ptp(p_win[test][prompts[test] == prompt]) > 0
    ]
    return [
        spearmanr(reward, truth)[0],
        _partial(reward, truth, long),
        spearmanr(long, truth)[0],
        spearmanr(reward, long)[0],
        spearmanr(got, p_win[test])[0],
        float(np.mean(within)),
        spearmanr(got, length[test])[0],
    ]


def _one_family_out(rows: list[dict[str, Any]], plain: Answers, bare: Answers) -> None:
    """Hold one family of models out at a time, and a quarter of the prompts: nearest to what is shipped."""
    models, prompts, p_win, length = (
        np.array([row[key] for row in rows]) for key in ("model", "pid", "p_win", "response")
    )
    length = np.char.str_len(length).astype(float)
    families = np.array([family(model) for model in models])
    unseen = np.isin(prompts, np.random.default_rng(0).permutation(np.unique(prompts))[:205])
    got = np.zeros(len(rows))
    for name in np.unique(families):
        held = np.flatnonzero((families == name) & unseen)
        head = _fit(plain, bare, p_win, prompts, np.flatnonzero((families != name) & ~unseen))
        got[held] = predict(head, plain.take(held))
    test = np.flatnonzero(unseen)
    print("held out: one family of models at a time, and prompts")
    for name, value in zip(
        _FIGURES, _figures(got[test], test, (models, prompts, p_win, length)), strict=True
    ):
        print(f"  {name:58s} {value:6.3f}")


def _partial(a: Any, b: Any, given: Any) -> float:
    """Return the correlation of ranks that is left when the ranks of `given` are held constant."""
    x, y, z = (rankdata(values) for values in (a, b, given))
    left = [values - np.polyval(np.polyfit(z, values, 1), z) for values in (x, y)]
    return float(np.corrcoef(*left)[0, 1])


def _scenario(data: Path, embedder: StaticEmbedder, scenario: tuple[str, int], training: Any) -> None:
    sys.path.insert(0, str(data))
    import scen  # noqa: PLC0415 - lies with the data

    plain, bare, p_win, prompts, models = training
    name, sign = scenario
    lines = (data / "scenarios.jsonl").read_text(encoding="utf-8").splitlines()
    chosen = next(entry for entry in map(json.loads, lines) if entry["name"] == name)
    sides = [_with_text(scen.select(chosen, side), scen.table(chosen["table"])) for side in "AB"]
    seen = {str(row.get(key)) for side in sides for row in side for key in ("model", "version")}
    train = np.flatnonzero(~np.isin(models, sorted(seen)))
    head = _fit(plain, bare, p_win, prompts, train)
    a, b = (
        predict(
            head,
            read_answers(
                embedder, [row.get("prompt") or "" for row in side], [row["response"] for row in side]
            ),
        )
        for side in sides
    )
    effect = (b.mean() - a.mean()) / np.sqrt((a.var() + b.var()) / 2)
    error = effect / np.sqrt(1 / len(a) + 1 / len(b))
    verdict = "as it should" if effect * sign > 0 else "WRONG WAY"
    print(
        f"{name:30s} {a.mean():.3f} -> {b.mean():.3f} ({b.mean() / a.mean() - 1:+.0%}), effect {effect:+.2f} sd, z {error:+.1f}: {verdict}"
    )


def _with_text(rows: list[dict[str, Any]], table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep rows with an answer; one table holds each answer once, on the first of its judgements."""
    answers = {(row["model"], row.get("session")): row["response"] for row in table if row.get("response")}
    filled = [
        {**row, "response": row.get("response") or answers.get((row["model"], row.get("session")))}
        for row in rows
    ]
    return [row for row in filled if row["response"]]
