"""How far one model's canaries have come: what to ask next, what was learnt, what was spent.

First every prompt is answered `rounds` times, which makes the reference; from then on each answer is a bet. A course
begins anew when prompts, request or scorer are not those it was begun with, because its answers would not compare.

Law of this file: pure; courses are values, and time comes in. At most `most_a_day` requests are begun in a day of UTC,
whatever happened to those before.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.canary.answers import DIFFERENT, WATCHED, Answered, Reference, make_reference, residual_of
from monitor.canary.evidence import FROM_SCORER, Bets, Wealth

Floats = NDArray[np.float64]

# Answers that are remembered one by one, to put a size to a change.
_RECENT = 240
_DAY_S = 86400.0
# The model counts as unchanged where so many answers show no shift beyond this many deviations and evidence
# is far from the alarm.
_CLEAR_ANSWERS, _CLEAR_SHIFT = 60, 0.75


class Plan(NamedTuple):
    """What is asked of one model, how often, and how it is known that this has not changed (`key`)."""

    model: str
    route: str
    prompts: tuple[str, ...]
    rounds: int
    every_s: float
    most_a_day: int
    false_alarms_per_month: float
    key: str


class Spend(msgspec.Struct, frozen=True):
    """Requests begun, in all and on `day` (days since the epoch); answers, failures, tokens as the model counts them."""

    asked: int = 0
    answered: int = 0
    failed: int = 0
    day: int = 0
    today: int = 0
    prompt_tokens: int = 0
    response_tokens: int = 0
    last_failure: str = ""


class Recent(msgspec.Struct, frozen=True, array_like=True):
    """An answer after the reference was made: its scores (F + 1,) float32 as bytes, its change of reward, its words."""

    time: float
    scores: bytes
    reward: float
    different: bool


class Course(msgspec.Struct, frozen=True):
    """Where one model's canaries stand. `asked_at` is when the last request was begun, epoch seconds."""

    key: str
    prompts: int = 0
    answers: tuple[Answered, ...] = ()
    reference: Reference | None = None
    wealth: Wealth | None = None
    recent: tuple[Recent, ...] = ()
    turn: int = 0
    asked_at: float = 0.0
    spend: Spend = Spend()


def plan_key(scorer: str, prompts: tuple[str, ...], request: str) -> str:
    """Return what a course must agree with to go on."""
    return hashlib.blake2b("\x00".join((scorer, request, *prompts)).encode(), digest_size=8).hexdigest()


def begun(course: Course | None, plan: Plan) -> Course:
    """Return the course to go on with: a new one where there is none, or one of other prompts; the spending stays."""
    if course is not None and course.key == plan.key:
        return course
    before = course if course is not None else Course("")
    return Course(plan.key, len(plan.prompts), spend=before.spend, asked_at=before.asked_at)


def next_prompt(course: Course, plan: Plan, now: float) -> int | None:
    """Return the number of the prompt to ask now; None where it is not time or the day's requests are spent."""
    today = course.spend.today if course.spend.day == int(now // _DAY_S) else 0
    if 0.0 <= now - course.asked_at < plan.every_s or today >= plan.most_a_day:
        return None
    return course.turn % len(plan.prompts)


def asked(course: Course, now: float) -> Course:
    """Note that a request was begun."""
    spend, day = course.spend, int(now // _DAY_S)
    today = spend.today if spend.day == day else 0
    spent = msgspec.structs.replace(spend, asked=spend.asked + 1, day=day, today=today + 1)
    return msgspec.structs.replace(course, turn=course.turn + 1, asked_at=now, spend=spent)


def failed(course: Course, why: str) -> Course:
    """Note that a request brought no answer that counts."""
    spend = course.spend
    return msgspec.structs.replace(
        course, spend=msgspec.structs.replace(spend, failed=spend.failed + 1, last_failure=why)
    )


def paid(course: Course, prompt_tokens: int, response_tokens: int) -> Course:
    """Note an answer and what it cost."""
    spend = course.spend
    spent = msgspec.structs.replace(
        spend,
        answered=spend.answered + 1,
        prompt_tokens=spend.prompt_tokens + prompt_tokens,
        response_tokens=spend.response_tokens + response_tokens,
    )
    return msgspec.structs.replace(course, spend=spent)


def taken_in(course: Course, plan: Plan, answer: Answered) -> Course:
    """Learn from an answer, or bet on it."""
    if course.reference is None:
        return _learnt(course, plan, answer)
    bets = Bets(course.reference, plan.false_alarms_per_month)
    residual, different = residual_of(course.reference, answer)
    before = course.wealth if course.wealth is not None else bets.start(answer.time)
    wealth = bets.advance(before, residual, different=different, now=answer.time)
    scores = bets.scores(residual).astype("<f4").tobytes()
    noted = Recent(answer.time, scores, float(residual[WATCHED.index("reward")]), different)
    return msgspec.structs.replace(course, wealth=wealth, recent=(*course.recent, noted)[-_RECENT:])


def _learnt(course: Course, plan: Plan, answer: Answered) -> Course:
    answers = (*course.answers, answer)
    counts = np.bincount([each.prompt for each in answers], minlength=len(plan.prompts))
    if int(counts.min()) < plan.rounds:
        return msgspec.structs.replace(course, answers=answers)
    return msgspec.structs.replace(course, answers=(), reference=make_reference(answers, len(plan.prompts)))


class Moved(NamedTuple):
    """How far n answers are from the reference's.

    `shift`: the largest mean shift of a score, in standard deviations. `different`: the share that is in words never
    said before.
    """

    n: int
    shift: float
    different: float


def moved(course: Course) -> Moved | None:
    """Return how far the remembered answers, or those since the alarm that stands, have moved; None without any."""
    recent = _since(course, course.wealth.since if course.wealth is not None else None)
    if not recent:
        return None
    shift = float(np.abs(_scores(recent).mean(axis=0)).max())
    return Moved(len(recent), shift, float(np.mean([each.different for each in recent])))


def _since(course: Course, began: float | None) -> list[Recent]:
    return [each for each in course.recent if began is None or each.time >= began]


def _scores(recent: list[Recent]) -> Floats:
    return np.stack([np.frombuffer(each.scores, dtype="<f4") for each in recent]).astype(np.float64)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What the canaries of a model say. Of `n` answers since `since` (or since the time asked about).

    `alarmed`: the model answers its fixed prompts differently, most plainly in `leading`, by `shift` deviations or as a
    share of answers. `reward`: mean change of reward and its standard error. `clear`: enough answers, and no change.
    """

    model: str
    alarmed: bool = False
    since: float | None = None
    n: int = 0
    leading: str = ""
    shift: float = 0.0
    reward: float = 0.0
    reward_error: float = float("inf")
    clear: bool = False


def finding(course: Course, plan: Plan, *, scorer_changed: bool, since: float | None) -> Finding:
    """Return what the canaries say about the time from `since` on (None: all that is remembered)."""
    if course.reference is None or course.wealth is None:
        return Finding(model=plan.model)
    bets = Bets(course.reference, plan.false_alarms_per_month)
    wealth = bets.without(course.wealth, FROM_SCORER) if scorer_changed else course.wealth
    alarmed, leading = wealth.since is not None, bets.leading(wealth)
    began = wealth.since if wealth.since is not None else since
    recent = _since(course, began)
    n = len(recent)
    if not n:
        return Finding(model=plan.model, alarmed=alarmed, since=wealth.since, leading=leading)
    scores = _scores(recent)
    told = [i for i, name in enumerate(WATCHED) if not (scorer_changed and name in FROM_SCORER)]
    means = scores.mean(axis=0)
    reward = np.array([each.reward for each in recent])
    quiet = bets.total_of(wealth) < bets.log_alarm / 2
    small = float(np.abs(means[told]).max()) + 2.0 / n**0.5 < _CLEAR_SHIFT
    return Finding(
        model=plan.model,
        alarmed=alarmed,
        since=wealth.since,
        n=n,
        leading=leading,
        shift=float(np.mean([each.different for each in recent]))
        if leading == DIFFERENT
        else float(means[WATCHED.index(leading)]),
        reward=float(reward.mean()),
        reward_error=float("inf") if scorer_changed or n < 2 else float(reward.std(ddof=1)) / n**0.5,
        clear=not alarmed and quiet and n >= _CLEAR_ANSWERS and small,
    )
