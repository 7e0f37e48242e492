"""Canaries at work: asking the model when it is time, scoring what it says, and telling what that means.

Law of this file: nobody waits. A request runs on a thread of its own and its answer is scored on the scorer's thread;
each turn of the loop only looks whether something is done. A failure is counted and noted, never raised. Of several
workers one asks: that a request is due is decided where it is noted, in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from fnmatch import fnmatchcase
from typing import NamedTuple

import msgspec
import structlog

from monitor.canary import course as courses
from monitor.canary.answers import answered
from monitor.canary.ask import Question, Reply, ask
from monitor.canary.course import Course, Finding, Plan, plan_key
from monitor.contract import Verdict
from monitor.contract.config import Config
from monitor.offline.exchange_file import read_exchanges
from monitor.scorer import ScorerUnavailable
from monitor.service.rescoring import Answer, Ask
from monitor.store import Store
from monitor.verdict.canary import with_canaries

_log = structlog.get_logger()

# Seconds after which it is looked again whether a request is due, at the latest.
_LOOK_S = 30.0


class _Flight(NamedTuple):
    """A question on its way: which prompt, when, its reply, and then its scores (None until there is a reply)."""

    plan: Plan
    prompt: int
    asked_at: float
    reply: Future[Reply]
    scores: Future[Answer] | None


class CanaryStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What one model's canaries cost and how far they are; `a_month`: requests in 30 days at this pace.

    `shift`, `different`: how far its last answers have moved (see `Moved`); None before the reference is made.
    """

    model: str
    route: str
    have: int
    need: int
    alarmed_since: float | None
    a_month: float
    asked: int
    answered: int
    failed: int
    today: int
    max_per_day: int
    prompt_tokens: int
    response_tokens: int
    last_failure: str
    shift: float | None
    different: float | None


def read_prompts(config: Config) -> tuple[str, ...]:
    """Return the configured prompts, each once. Raises ExchangeFileError."""
    if not config.canaries.per_hour:
        return ()
    if not config.canaries.file:
        return tuple(dict.fromkeys(config.canaries.prompts))
    exchanges, _ = read_exchanges(config.canaries.file)
    return tuple(dict.fromkeys(exchange.prompt for exchange in exchanges))


def route_of(config: Config, model: str) -> str:
    """Return the route that a request for this model takes, by the first pattern that matches."""
    return next((route.name for route in config.routes if fnmatchcase(model, route.match)), "")


def has_canaries(config: Config, route: str) -> bool:
    """Tell whether a route's false-alarm budget is shared with canaries."""
    asked = config.canaries
    return asked.per_hour > 0 and any(route_of(config, model) == route for model in asked.models)


class Canaries:
    """All models' canaries. `scorer` names what scores now (None: not known yet, then nothing is asked)."""

    def __init__(
        self,
        config: Config,
        prompts: Sequence[str],
        store: Store,
        ask_scorer: Ask,
        scorer: Callable[[], str | None],
    ) -> None:
        self._config = config
        self._prompts = tuple(prompts)
        self._store = store
        self._ask_scorer = ask_scorer
        self._scorer = scorer
        self._flights: dict[str, _Flight] = {}
        self._look_at: dict[str, float] = {}
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="canary")

    def plans(self) -> list[Plan]:
        """Return what is asked of each model, once it is known what scores the answers."""
        asked, scorer = self._config.canaries, self._scorer()
        if scorer is None or not asked.per_hour or not self._prompts:
            return []
        request = f"{asked.rounds} {asked.max_tokens} {asked.temperature}"
        return [
            Plan(
                model,
                route_of(self._config, model),
                self._prompts,
                asked.rounds,
                3600.0 * len(asked.models) / asked.per_hour,
                max(1, asked.max_per_day // len(asked.models)),
                self._config.detection.false_alarms_per_month,
                plan_key(scorer, self._prompts, f"{request} {model}"),
            )
            for model in asked.models
        ]

    def step(self, now: float) -> bool:
        """Take in what is done and ask what is due; there is never more to do at once."""
        for plan in self.plans():
            flight = self._flights.get(plan.model)
            if flight is not None:
                self._further(flight)
            elif now >= self._look_at.get(plan.model, 0.0):
                self._send(plan, now)
        return False

    def _send(self, plan: Plan, now: float) -> None:
        """Begin a request, unless another worker has begun one or the day's are spent."""
        prompt: list[int] = []

        def begin(stored: Course | None) -> Course:
            course = courses.begun(stored, plan)
            number = courses.next_prompt(course, plan, now)
            if number is None:
                return course
            prompt.append(number)
            return courses.asked(course, now)

        course = self._store.canaries.change(plan.model, begin)
        self._look_at[plan.model] = min(now + _LOOK_S, max(now + 0.1, course.asked_at + plan.every_s))
        if prompt:
            reply = self._pool.submit(ask, self._question(plan, prompt[0]))
            self._flights[plan.model] = _Flight(plan, prompt[0], now, reply, None)

    def _question(self, plan: Plan, prompt: int) -> Question:
        asked = self._config.canaries
        to = asked.to or f"http://{self._config.proxy.listen}/v1"
        text = plan.prompts[prompt]
        return Question(to, plan.model, text, asked.key, asked.temperature, asked.max_tokens, asked.timeout_s)

    def _further(self, flight: _Flight) -> None:
        """Bring a question on its way one step further, where that step is done."""
        if not (flight.reply if flight.scores is None else flight.scores).done():
            return
        model = flight.plan.model
        del self._flights[model]
        reply = flight.reply.result()
        if flight.scores is not None:
            self._take_in(flight, reply, flight.scores)
        elif reply.failure:
            self._failed(flight, reply.failure)
        else:
            scores = self._ask_scorer([flight.plan.prompts[flight.prompt]], [reply.text])
            self._flights[model] = flight._replace(scores=scores)

    def _take_in(self, flight: _Flight, reply: Reply, scoring: Future[Answer]) -> None:
        try:
            answer = scoring.result()
        except ScorerUnavailable:
            self._failed(flight, "scorer")
            return
        if answer.scores.errors:
            self._failed(flight, "refused_by_scorer")
            return
        said = answered(
            flight.prompt, flight.asked_at, reply.text, answer.scores.response[0], answer.scores.reward[0]
        )

        def take_in(stored: Course | None) -> Course:
            course = courses.begun(stored, flight.plan)
            spent = courses.paid(course, reply.prompt_tokens, reply.response_tokens)
            return courses.taken_in(spent, flight.plan, said)

        before = self._store.canaries.get(flight.plan.model)
        after = self._store.canaries.change(flight.plan.model, take_in)
        _report(flight.plan, before, after)

    def _failed(self, flight: _Flight, why: str) -> None:
        def note(stored: Course | None) -> Course:
            return courses.failed(courses.begun(stored, flight.plan), why)

        self._store.canaries.change(flight.plan.model, note)
        _log.warning("a canary failed", model=flight.plan.model, why=why)

    def told(self, verdict: Verdict, *, scorer_changed: bool) -> Verdict:
        """Return a verdict of the control arm with what its route's canaries say."""
        since = verdict.since if verdict.drifted else None
        found: list[Finding] = []
        for plan in self.plans():
            if plan.route == verdict.route and verdict.arm == "control":
                course = courses.begun(self._store.canaries.get(plan.model), plan)
                found.append(courses.finding(course, plan, scorer_changed=scorer_changed, since=since))
        return with_canaries(verdict, found, reward_error=self._config.detection.reward_error)

    def close(self) -> None:
        """Forget what is on its way."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _report(plan: Plan, before: Course | None, after: Course) -> None:
    if after.reference is not None and (before is None or before.reference is None):
        _log.info("canaries have learnt", model=plan.model, answers=after.reference.of)
    was = before is not None and before.wealth is not None and before.wealth.since is not None
    alarmed = after.wealth is not None and after.wealth.since is not None
    if alarmed != was:
        _log.warning("canaries changed" if alarmed else "canaries are as they were", model=plan.model)


def canary_statuses(config: Config, store: Store) -> list[CanaryStatus]:
    """Collect what the canaries cost and how far they are."""
    asked, found = config.canaries, []
    for model in asked.models if asked.per_hour else ():
        course = store.canaries.get(model) or Course("")
        spend, wealth, moved = course.spend, course.wealth, courses.moved(course)
        need = asked.rounds * (course.prompts or len(asked.prompts))
        made = course.reference.of if course.reference is not None else 0
        found.append(
            CanaryStatus(
                model=model,
                route=route_of(config, model),
                have=made or len(course.answers),
                need=made or need,
                alarmed_since=wealth.since if wealth is not None else None,
                a_month=min(asked.per_hour * 24.0, asked.max_per_day) * 30.0 / len(asked.models),
                asked=spend.asked,
                answered=spend.answered,
                failed=spend.failed,
                today=spend.today,
                max_per_day=asked.max_per_day // len(asked.models),
                prompt_tokens=spend.prompt_tokens,
                response_tokens=spend.response_tokens,
                last_failure=spend.last_failure,
                shift=None if moved is None else moved.shift,
                different=None if moved is None else moved.different,
            )
        )
    return found
