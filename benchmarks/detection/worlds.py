"""Worlds: traffic as it was, and what becomes of it. Each change carries what is true of it.

Law: a world is drawn for a seed; its baseline learns from `history`, its traffic goes on as independent draws from
`before`, and a change replaces a share of it by draws from the change's own rows. History and traffic share no
question (in `one_model`, where each has sixteen answers, no answer), or texts that were learnt would be told from texts
that were not. A *finite* world has some hundred questions: half of them are learnt, each once, and drawing the others
again and again would in the end show how the halves differ, so it is watched for a thousand exchanges only, beside a
control in which nothing changes. Truth is what the data's makers or judges say, never what a score of ours says.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from benchmarks.detection.alter import (
    Growing,
    Rewards,
    a_third,
    by_length,
    cut_short,
    emptied,
    failed,
    same_prompts,
    tilted,
)
from benchmarks.detection.live import SIZE
from benchmarks.detection.pools import Data, Pool, Row
from benchmarks.detection.streams import Random, Rows
from monitor.contract import Cause, Direction


class Change(NamedTuple):
    """What happens: `rows` of the world's pool take `share` of the traffic, at once or over a day (`gradual`).

    `direction` is None where nobody can say whether it is worse. `rescored`: what a changed scorer makes of rewards.
    """

    name: str
    rows: Rows
    share: float
    cause: Cause
    direction: Direction | None = Direction.NEUTRAL
    gradual: bool = False
    rescored: Callable[[Rewards], Rewards] | None = None

    @property
    def title(self) -> str:
        """Its name with its share."""
        if self.cause is Cause.NONE or self.is_mix:
            return self.name
        return f"{self.name}, {self.share:.0%}{' over a day' if self.gradual else ''}"

    @property
    def is_mix(self) -> bool:
        """Whether nothing but the proportions of known topics changes."""
        return self.cause is Cause.TRAFFIC and not self.name.startswith("novel")


class World(NamedTuple):
    """A pool and the parts that history, traffic and changes draw from; `finite`: of a few hundred questions."""

    name: str
    pool: Pool
    history: Rows
    before: Rows
    changes: tuple[Change, ...]
    finite: bool = False


Build = Callable[[Data, Random, int], World]
_WORSE, _BETTER = Direction.DEGRADED, Direction.IMPROVED


def topics(data: Data, rng: Random, seed: int) -> World:
    """Nine domains of prompts are known; the tenth, another one for every seed, arrives."""
    rows = data.rows("prompts_clinc", lambda row: row["topic"] != "oos")
    pool = data.pool(rows, label="topic")
    new = pool.topic == seed % (int(pool.topic.max()) + 1)
    known = rng.permutation(np.flatnonzero(~new))
    arriving = np.flatnonzero(new)
    before = known[SIZE:]
    changes = [
        *(Change("novel topic", arriving, share, Cause.TRAFFIC) for share in (0.02, 0.05, 0.1, 0.2, 0.4)),
        *(
            Change("novel topic", arriving, share, Cause.TRAFFIC, gradual=True)
            for share in (0.05, 0.1, 0.2, 0.4)
        ),
        Change("known topics in other proportions, prompts", tilted(pool, before), 1.0, Cause.TRAFFIC),
        Change("nothing, prompts", before, 1.0, Cause.NONE),
    ]
    return World("topics", pool, known[:SIZE], before, tuple(changes))


def one_model(data: Data, rng: Random, _seed: int) -> World:
    """One model's answers to the same questions: rewards shift, service fails, proportions move, the scorer changes."""
    whole = data.pool(data.rows("bon_tulu16", lambda _: True))
    history, before = np.split(rng.permutation(whole.size), [whole.size // 2])
    growing, tilt = Growing(whole), tilted(whole, before)
    spread = float(whole.scored.reward.std())
    shifted = {by: growing.with_reward(before, partial(_shifted, by=by * spread)) for by in (-0.2, -0.5, 0.5)}
    both = growing.with_reward(tilt, partial(_shifted, by=-0.5 * spread))
    rescale = partial(_shifted, by=-0.1 * spread, scale=0.8)
    rescaled = growing.with_reward(before, rescale)
    longest, shortest = by_length(whole, before, of=4)
    short, empty, lost = (growing.altered(data, np.sort(before), how) for how in (cut_short, emptied, failed))
    changes = [
        Change("reward -0.2 sd at fixed prompts", shifted[-0.2], 1.0, Cause.MODEL, _WORSE),
        Change("reward -0.5 sd at fixed prompts", shifted[-0.5], 1.0, Cause.MODEL, _WORSE),
        Change("reward +0.5 sd at fixed prompts", shifted[0.5], 1.0, Cause.MODEL, _BETTER),
        Change("same model, the longest of four answers", longest, 1.0, Cause.MODEL, None),
        Change("same model, the shortest of four answers", shortest, 1.0, Cause.MODEL, None),
        Change("answers cut short", short, 0.05, Cause.DATA_QUALITY, _WORSE),
        Change("answers cut short", short, 0.2, Cause.DATA_QUALITY, _WORSE),
        Change("answers empty", empty, 0.1, Cause.DATA_QUALITY, _WORSE),
        Change("requests failing", lost, 0.1, Cause.DATA_QUALITY, _WORSE),
        Change("known topics in other proportions", tilt, 1.0, Cause.TRAFFIC),
        Change("only every third topic", a_third(whole, before), 1.0, Cause.TRAFFIC),
        Change("other proportions and reward -0.5 sd", both, 1.0, Cause.MODEL, _WORSE),
        Change("another reward model scores", rescaled, 1.0, Cause.SCORER, rescored=rescale),
        Change("nothing, one model", before, 1.0, Cause.NONE),
    ]
    return World("one model", growing.pool, history, before, tuple(changes))


def noisy_judge(data: Data, rng: Random, _seed: int) -> World:
    """One model, rewarded by a judge half of whose variance is chance: less of a reward goes with how answers look."""
    whole = data.pool(data.rows("bon_tulu16", lambda _: True))
    own = whole.scored.reward
    judged = (own + rng.normal(0.0, float(own.std()), whole.size)).astype(np.float32)
    history, before = np.split(rng.permutation(whole.size), [whole.size // 2])
    growing = Growing(whole._replace(scored=whole.scored._replace(reward=judged)))
    spread = float(judged.std())
    changes = [
        *(
            Change(
                f"reward {by:g} sd, a noisy judge",
                growing.with_reward(before, partial(_shifted, by=by * spread)),
                1.0,
                Cause.MODEL,
                _WORSE,
            )
            for by in (-0.2, -0.5)
        ),
        Change("nothing, a noisy judge", before, 1.0, Cause.NONE),
    ]
    return World("noisy judge", growing.pool, history, before, tuple(changes))


def _shifted(reward: Rewards, by: float, scale: float = 1.0) -> Rewards:
    return np.asarray(scale * reward + by, dtype=np.float32)


class Switch(NamedTuple):
    """A model or a style that takes over from another on the same prompts: which way, at which shares."""

    name: str
    before: str
    after: str
    direction: Direction | None
    shares: tuple[float, ...] = (1.0,)


_SHARES = (0.1, 0.25, 0.5, 1.0)
_GPT4 = "gpt4_0314"
# The direction is the judges' win rate against one reference (`ae_judgments`); None where they see no difference.
SWITCHES: tuple[Switch, ...] = (
    Switch("weaker model: GPT-4 0314 to GPT-3.5 0301", _GPT4, "gpt-3.5-turbo-0301", _WORSE, _SHARES),
    Switch("weaker model: Vicuna 7B to Falcon 7B", "vicuna-7b-v1.5", "falcon-7b-instruct", _WORSE, _SHARES),
    Switch("stronger model: Phi-2 SFT to DPO", "phi-2-sft", "phi-2-dpo", _BETTER, _SHARES),
    Switch("stronger model: davinci 001 to 003", "text_davinci_001", "text_davinci_003", _BETTER, _SHARES),
    Switch("stronger model: GPT-3.5 0301 to GPT-4o", "gpt-3.5-turbo-0301", "gpt-4o-2024-05-13", _BETTER),
    Switch("same model, verbose", "gpt-3.5-turbo-1106", "gpt-3.5-turbo-1106_verbose", None, (0.25, 1.0)),
    Switch("same model, concise", "gpt-3.5-turbo-1106", "gpt-3.5-turbo-1106_concise", None, (0.25, 1.0)),
    Switch("version: GPT-3.5 0301 to 0613", "gpt-3.5-turbo-0301", "gpt-3.5-turbo-0613", None),
    Switch("version: GPT-3.5 0613 to 1106", "gpt-3.5-turbo-0613", "gpt-3.5-turbo-1106", None),
    Switch("version: Vicuna 7B to 13B", "vicuna-7b-v1.5", "vicuna-13b-v1.5", _BETTER),
)


def switches(data: Data, rng: Random, before: str) -> World:
    """Models and styles that take over from one model, and its prompts in other proportions with and without that."""
    mine = [switch for switch in SWITCHES if switch.before == before]
    pool = data.pool(_answers(data, before))
    history, own = halves(pool, rng)
    growing, changes = Growing(pool), []
    tilt = tilted(pool, own)
    for switch in mine:
        rows = to_questions(growing, growing.append(data.pool(_answers(data, switch.after))), own)
        changes += [
            Change(switch.name, rows, share, Cause.MODEL, switch.direction) for share in switch.shares
        ]
    if before == _GPT4:
        weaker = same_prompts(growing.pool, tilt, changes[0].rows)
        changes += [
            Change("other proportions and weaker model", weaker, 0.5, Cause.MODEL, _WORSE),
            Change("known topics in other proportions, GPT-4", tilt, 1.0, Cause.TRAFFIC),
        ]
    changes.append(Change(f"nothing, {before}", own, 1.0, Cause.NONE))
    return World(before, growing.pool, history, own, tuple(changes), finite=True)


def halves(pool: Pool, rng: Random) -> tuple[Rows, Rows]:
    """Part the rows of a pool by their questions, at random."""
    questions = np.array([e.prompt for e in pool.scored.exchanges])
    known, which = np.unique(questions, return_inverse=True)
    first = rng.permutation(len(known)) < len(known) // 2
    return rng.permutation(np.flatnonzero(first[which])), np.flatnonzero(~first[which])


def to_questions(growing: Growing, rows: Rows, questions: Rows) -> Rows:
    """Return those of `rows` that answer one of the questions of other rows."""
    exchanges = growing.pool.scored.exchanges
    asked = {exchanges[row].prompt for row in questions}
    return rows[[exchanges[row].prompt in asked for row in rows]]


def _answers(data: Data, version: str) -> list[Row]:
    tables = ("ae_openai", "ae_style", "ae_finetunes")
    return [row for table in tables for row in data.rows(table, lambda row: row["version"] == version)]


def march_to_june(data: Data, rng: Random, task: str, model: str) -> World:
    """Let a model's snapshot of June 2023 take over from that of March on one task (LLMDrift)."""
    rows = data.rows("llmdrift", lambda row: (row["task"], row["model"]) == (task, model))
    march, june = ([row for row in rows if (row["version"] == "0613") is later] for later in (False, True))
    pool = data.pool(march)
    growing = Growing(pool)
    history, own = halves(pool, rng)
    taking_over = to_questions(growing, growing.append(data.pool(june)), own)
    what = {"opinionqa": "opinions", "prime": "primes"}[task]
    worse = {("prime", "gpt-4"): _WORSE, ("prime", "gpt-3.5-turbo"): _BETTER}.get((task, model))
    changes = [
        Change(f"{model} March to June 2023, {what}", taking_over, share, Cause.MODEL, worse)
        for share in (0.25, 1.0)
    ]
    changes.append(Change(f"nothing, {model} {what}", own, 1.0, Cause.NONE))
    return World(f"{model} {task}", growing.pool, history, own, tuple(changes), finite=True)


def worlds() -> dict[str, Build]:
    """Return every world's builder by name."""
    named: dict[str, Build] = {"topics": topics, "one model": one_model, "noisy judge": noisy_judge}
    named |= {switch.before: partial(_switches, before=switch.before) for switch in SWITCHES}
    named |= {
        f"{model} {task}": partial(_march_to_june, task=task, model=model)
        for model in ("gpt-4", "gpt-3.5-turbo")
        for task in ("opinionqa", "prime")
    }
    return named


def _switches(data: Data, rng: Random, _seed: int, *, before: str) -> World:
    return switches(data, rng, before)


def _march_to_june(data: Data, rng: Random, _seed: int, *, task: str, model: str) -> World:
    return march_to_june(data, rng, task, model)
