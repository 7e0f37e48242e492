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
from scoring.reward import HeadWeights, rewards
from scoring.style import style_matrix
from scoring.text import read_text
from train_reward import centred_logits, fit, without_layout

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


class Answers(NamedTuple):
    """n judged answers: style (n, features) as they are and without layout, and n each of what is known of them."""

    plain: Any
    bare: Any
    models: Any
    prompts: Any
    p_win: Any
    length: Any

    def take(self, rows: Any) -> Answers:
        """Return these rows."""
        return Answers(*(column[rows] for column in self))


def read_answers(rows: list[dict[str, Any]]) -> Answers:
    """Read the training table as the head reads texts."""
    texts = [row["response"] for row in rows]
    return Answers(
        style_matrix([read_text(text) for text in texts]),
        style_matrix([read_text(without_layout(text)) for text in texts]),
        np.array([row["model"] for row in rows]),
        np.array([row["pid"] for row in rows]),
        np.array([row["p_win"] for row in rows]),
        np.array([len(text) for text in texts], float),
    )


class Held(NamedTuple):
    """One way to hold out: rows to train on, rows to judge."""

    train: Any
    test: Any


# Draws of each protocol, and prompts held out in each.
DRAWS, UNSEEN = 12, 205


def splits(models: Any, prompts: Any, draws: int, *, families: bool) -> Iterator[Held]:
    """Draw half of the models (or families) and a quarter of the prompts to hold out."""
    names = np.array([family(model) if families else model for model in models])
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        kinds = np.unique(names)
        out = np.isin(names, rng.permutation(kinds)[: len(kinds) // 2])
        unseen = np.isin(prompts, rng.permutation(np.unique(prompts))[:UNSEEN])
        yield Held(np.flatnonzero(~out & ~unseen), np.flatnonzero(out & unseen))


def measure(data: Path, answers: Answers) -> None:
    """Print every figure of the model card."""
    for families in (False, True):
        found = [
            _figures(rewards(answers.plain[held.test], _fit(answers.take(held.train))), answers, held.test)
            for held in splits(answers.models, answers.prompts, DRAWS, families=families)
        ]
        _show(f"{'families of models' if families else 'models'}, half of them at a time", found)
    found = []
    for unseen in _unseen_prompts(answers):
        got = _by_others(answers, unseen)
        found.append(_figures(got[unseen], answers, np.flatnonzero(unseen)))
    _show("one family of models at a time", found)
    error = model_error(answers)
    print(f"error between models {error.size:.4f}; pairs in the right order where their rewards differ by")
    for span, right in zip(("less than it", "1 to 1.64 times it", "more"), error.right, strict=True):
        print(f"  {span:58s} {right:6.3f}")
    _ceiling(answers)
    for name, sign in SCENARIOS.items():
        _scenario(data, (name, sign), answers)


class ModelError(NamedTuple):
    """`size`: see `model_error`. `right`: share of pairs in the right order, below 1, below 1.64, beyond."""

    size: float
    right: Any


def model_error(answers: Answers) -> ModelError:
    """Return by how much mean rewards of two equally good models differ: a standard deviation, in reward units.

    Each model is rewarded by a head that saw neither its family nor the prompts. The truth in reward units is the mean
    of what the head is trained to say; the line of mean reward on truth calibrates it, and what is left of a pair is
    the root of two times what is left of a model.
    """
    names = np.unique(answers.models)
    wanted = 1 / (1 + np.exp(-centred_logits(answers.p_win, answers.prompts)))
    truth = _means(wanted, answers.models, names)
    first, second = np.triu_indices(len(names), 1)
    sizes, shares = [], []
    for unseen in _unseen_prompts(answers):
        mean = _means(_by_others(answers, unseen)[unseen], answers.models[unseen], names)
        left = mean - np.polyval(np.polyfit(truth, mean, 1), truth)
        sizes.append(np.sqrt(2 * (left**2).sum() / (len(names) - 2)))
        apart = np.abs(mean[first] - mean[second])
        right = np.sign(mean[first] - mean[second]) == np.sign(truth[first] - truth[second])
        span = np.digitize(apart, [sizes[-1], 1.64 * sizes[-1]])
        shares.append([right[span == k].mean() for k in range(3)])
    return ModelError(float(np.mean(sizes)), np.mean(shares, axis=0))


def _means(values: Any, models: Any, names: Any) -> Any:
    return np.array([values[models == name].mean() for name in names])


def _unseen_prompts(answers: Answers) -> Iterator[Any]:
    """Draw a quarter of the prompts, as a mask over the answers."""
    kinds = np.unique(answers.prompts)
    for draw in range(DRAWS):
        yield np.isin(answers.prompts, np.random.default_rng(draw).permutation(kinds)[:UNSEEN])


def _by_others(answers: Answers, unseen: Any) -> Any:
    """Reward each family's answers to the unseen prompts by a head of the other families and prompts."""
    families = np.array([family(model) for model in answers.models])
    got = np.zeros(len(families))
    for name in np.unique(families):
        head = _fit(answers.take((families != name) & ~unseen))
        held = (families == name) & unseen
        got[held] = rewards(answers.plain[held], head)
    return got


def _ceiling(answers: Answers) -> None:
    """Print how well the judge's own verdicts on the unseen prompts rank half of the models."""
    names = np.unique(answers.models)
    truth, found = _means(answers.p_win, answers.models, names), []
    for draw, unseen in enumerate(_unseen_prompts(answers)):
        half = np.random.default_rng(draw).permutation(len(names))[: len(names) // 2]
        seen = _means(answers.p_win[unseen], answers.models[unseen], names)
        found.append(spearmanr(seen[half], truth[half])[0])
    apart = np.abs(truth[:, None] - truth)[np.triu_indices(len(names), 1)]
    print(f"the judge's own win rates on the unseen prompts, half of the models {np.mean(found):.3f}")
    print(f"pairs of models within two points of win rate {np.mean(apart < 0.02):.3f}")
    table = answers.p_win[np.lexsort((answers.prompts, answers.models))].reshape(len(names), -1)
    left = table[:, None] - table
    z = np.abs(left.mean(axis=2)) / np.maximum(left.std(axis=2) / np.sqrt(table.shape[1]), 1e-12)
    print(
        f"pairs that all prompts do not tell apart (95 %) {np.mean(z[np.triu_indices(len(names), 1)] < 1.96):.3f}"
    )


def _show(title: str, found: list[list[float]]) -> None:
    print(f"held out: {title}, and prompts (mean and sd of {len(found)} draws)")
    for name, mean, sd in zip(_FIGURES, np.nanmean(found, axis=0), np.nanstd(found, axis=0), strict=True):
        print(f"  {name:58s} {mean:6.3f} {sd:6.3f}")


_FIGURES = (
    "Spearman of models, true mean win rate",
    "the same, length of answers held constant (partial)",
    "Spearman of models by length alone",
    "Spearman of models: reward with length",
    "Spearman of single answers",
    "Spearman of single answers within one prompt",
    "Spearman of single answers: reward with length",
)


def _fit(answers: Answers) -> HeadWeights:
    return fit(answers.plain, answers.bare, centred_logits(answers.p_win, answers.prompts))


def _figures(got: Any, answers: Answers, test: Any) -> list[float]:
    """Compare the rewards of the tested rows with their truth."""
    models, prompts, p_win = answers.models, answers.prompts[test], answers.p_win[test]
    names = np.unique(models[test])
    reward = _means(got, models[test], names)
    truth, long = _means(answers.p_win, models, names), _means(answers.length, models, names)
    within = [
        spearmanr(got[prompts == prompt], p_win[prompts == prompt])[0]
        for prompt in np.unique(prompts)
        if np.ptp(p_win[prompts == prompt]) > 0
    ]
    return [
        spearmanr(reward, truth)[0],
        _partial(reward, truth, long),
        spearmanr(long, truth)[0],
        spearmanr(reward, long)[0],
        spearmanr(got, p_win)[0],
        float(np.mean(within)),
        spearmanr(got, answers.length[test])[0],
    ]


def _partial(a: Any, b: Any, given: Any) -> float:
    """Return the correlation of ranks that is left when the ranks of `given` are held constant."""
    x, y, z = (rankdata(values) for values in (a, b, given))
    left = [values - np.polyval(np.polyfit(z, values, 1), z) for values in (x, y)]
    return float(np.corrcoef(*left)[0, 1])


def _scenario(data: Path, scenario: tuple[str, int], answers: Answers) -> None:
    sys.path.insert(0, str(data))
    import scen  # noqa: PLC0415 - lies with the data

    name, sign = scenario
    lines = (data / "scenarios.jsonl").read_text(encoding="utf-8").splitlines()
    chosen = next(entry for entry in map(json.loads, lines) if entry["name"] == name)
    sides = [_with_text(scen.select(chosen, side), scen.table(chosen["table"])) for side in "AB"]
    seen = {str(row.get(key)) for side in sides for row in side for key in ("model", "version")}
    head = _fit(answers.take(~np.isin(answers.models, sorted(seen))))
    a, b = (rewards(style_matrix([read_text(row["response"]) for row in side]), head) for side in sides)
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
