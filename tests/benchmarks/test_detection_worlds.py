"""Worlds of the benchmark: what is learnt and what is met later share no question."""

from __future__ import annotations

import numpy as np

from benchmarks.detection.alter import Growing, by_length
from benchmarks.detection.drifts import FINITE_HORIZON, HORIZON, horizon_of
from benchmarks.detection.pools import Pool
from benchmarks.detection.streams import Rows
from benchmarks.detection.worlds import World, halves, to_questions
from monitor.contract import Exchange
from monitor.sketch.features import extract
from monitor.sketch.scored import Scored

QUESTIONS, ANSWERS = 40, 3


def answered(text: str) -> Pool:
    """Return a pool of some questions with several answers each."""
    exchanges = [
        Exchange(id=f"{text}{q}.{a}", time=0.0, prompt=f"question {q}", response=f"{text} {q} {a}")
        for q in range(QUESTIONS)
        for a in range(ANSWERS)
    ]
    ones = np.ones((len(exchanges), 4), dtype=np.float32)
    scored = Scored(exchanges, ones, ones, np.zeros(len(exchanges), dtype=np.float32), {})
    return Pool(scored, extract(scored), np.zeros(len(exchanges), dtype=np.intp))


def questions(pool: Pool, rows: Rows) -> set[str]:
    """Return the questions of some rows."""
    return {pool.scored.exchanges[row].prompt for row in rows}


def test_halves_share_no_question_and_lose_no_row() -> None:
    """Every answer to a question stays on the question's side, and each side has half the questions."""
    pool = answered("a")
    learnt, later = halves(pool, np.random.default_rng(0))
    assert sorted([*learnt, *later]) == list(range(pool.size))
    assert not questions(pool, learnt) & questions(pool, later)
    assert len(questions(pool, learnt)) == QUESTIONS // 2


def test_what_takes_over_answers_the_questions_of_the_traffic() -> None:
    """Of another model's answers only those to the questions that the baseline never saw are drawn."""
    growing = Growing(answered("a"))
    learnt, later = halves(growing.pool, np.random.default_rng(0))
    rows = to_questions(growing, growing.append(answered("b")), later)
    assert questions(growing.pool, rows) == questions(growing.pool, later)
    assert not set(rows) & {*learnt, *later}


def test_a_finite_world_is_watched_for_less_long() -> None:
    """A change of a world with few questions counts as missed after a thousand exchanges."""
    rows = np.arange(3)
    world = World("w", answered("a"), rows, rows, ())
    assert horizon_of(world) == HORIZON
    assert horizon_of(world._replace(finite=True)) == FINITE_HORIZON


def test_the_longest_and_the_shortest_of_four_answers() -> None:
    """Each is one of the four answers to a question that came together, and an answer is taken once."""
    growing = Growing(answered("a"))
    growing.append(answered("a longer answer to"))
    longest, shortest = by_length(growing.pool, np.arange(growing.pool.size), of=4)
    exchanges = growing.pool.scored.exchanges
    assert len({*longest, *shortest}) == 2 * QUESTIONS
    for one, other in zip(longest, shortest, strict=True):
        assert exchanges[one].prompt == exchanges[other].prompt
        assert len(exchanges[one].response or "") > len(exchanges[other].response or "")
