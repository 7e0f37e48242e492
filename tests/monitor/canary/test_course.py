"""A course: learn, then bet; never more requests than allowed; begin anew when nothing would compare."""

from __future__ import annotations

import msgspec
import pytest

from monitor.canary.course import (
    Course,
    Plan,
    asked,
    begun,
    failed,
    finding,
    moved,
    next_prompt,
    paid,
    plan_key,
    taken_in,
)
from tests.monitor.canary.sayings import PROMPTS, answers

KEY = plan_key("scorer", PROMPTS, "r")
PLAN = Plan("m", "default", PROMPTS, 8, 60.0, 1000, 1.0, KEY)


def run(course: Course, made) -> Course:
    """Take in answers."""
    for each in made:
        course = taken_in(course, PLAN, each)
    return course


@pytest.fixture(scope="module")
def learnt() -> Course:
    """Give a course that has its reference."""
    return run(begun(None, PLAN), answers(8, seed=1))


def test_prompts_are_asked_in_turn_at_their_pace():
    """One a minute, round and round."""
    course, order = begun(None, PLAN), []
    for second in range(0, 600, 20):
        number = next_prompt(course, PLAN, 1e6 + second)
        if number is not None:
            order.append(number)
            course = asked(course, 1e6 + second)
    assert order == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3]
    assert course.spend.asked == 10


def test_a_days_requests_are_never_exceeded():
    """Whatever fails; the next day of UTC has its own."""
    plan = PLAN._replace(most_a_day=5, every_s=1.0)
    course, begun_at = begun(None, plan), 86400.0 * 20000
    for second in range(100):
        if next_prompt(course, plan, begun_at + second) is not None:
            course = failed(asked(course, begun_at + second), "timeout")
    assert (course.spend.asked, course.spend.today, course.spend.failed) == (5, 5, 5)
    assert course.spend.last_failure == "timeout"
    assert next_prompt(course, plan, begun_at + 86400.0) == 5
    assert asked(course, begun_at + 86400.0).spend.today == 1


def test_a_course_survives_the_store(learnt):
    """Bytes and back, in both halves of its life."""
    for course in (run(begun(None, PLAN), answers(2, seed=1)), run(learnt, answers(2, seed=2))):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(course), type=Course) == course


def test_learning_ends_when_every_prompt_has_its_answers():
    """Not before."""
    course = run(begun(None, PLAN), answers(8, seed=1)[:-1])
    assert (course.reference, len(course.answers)) == (None, 47)
    assert not finding(course, PLAN, scorer_changed=False, since=None).clear
    course = run(course, answers(8, seed=1)[-1:])
    assert course.reference is not None
    assert course.answers == ()


def test_the_same_model_is_clear_and_another_is_not(learnt):
    """After enough answers; before that nothing is claimed."""
    few = finding(run(learnt, answers(2, seed=2)), PLAN, scorer_changed=False, since=None)
    assert (few.alarmed, few.clear, few.n) == (False, False, 12)
    same = finding(run(learnt, answers(25, seed=2)), PLAN, scorer_changed=False, since=None)
    assert (same.alarmed, same.clear, same.n) == (False, True, 150)
    late = finding(run(learnt, answers(25, seed=2)), PLAN, scorer_changed=False, since=60.0 * 140)
    assert (late.clear, late.n) == (False, 10)
    other = finding(run(learnt, answers(12, seed=2, mood="curt")), PLAN, scorer_changed=False, since=None)
    assert (other.alarmed, other.clear) == (True, False)
    assert abs(other.shift) > 0.2
    without = finding(run(learnt, answers(12, seed=2, mood="curt")), PLAN, scorer_changed=True, since=None)
    assert without.alarmed
    assert without.reward_error == float("inf")


def test_how_far_the_last_answers_have_moved(learnt):
    """Nothing before the first bet; of an alarmed course the answers since it, not those that dilute them."""
    assert moved(begun(None, PLAN)) is None
    assert moved(learnt) is None
    same = moved(run(learnt, answers(25, seed=2)))
    other = run(learnt, [*answers(25, seed=2), *answers(12, seed=3, mood="curt")])
    found = moved(other)
    assert same is not None
    assert found is not None
    assert same.n == 150
    assert found.n < 222
    assert found.shift > 2.0 * same.shift


def test_what_would_not_compare_begins_anew(learnt):
    """Another scorer or other prompts; what was spent stays spent."""
    spent = paid(asked(learnt, 5.0), 10, 20)
    assert begun(spent, PLAN) is spent
    anew = begun(spent, PLAN._replace(key=plan_key("another", PROMPTS, "r")))
    assert anew.reference is None
    assert (anew.spend.asked, anew.spend.prompt_tokens, anew.spend.response_tokens) == (1, 10, 20)
    assert plan_key("scorer", PROMPTS[:-1], "r") != KEY
