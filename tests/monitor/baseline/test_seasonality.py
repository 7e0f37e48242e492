"""Hours are told apart where the history allows it, and what is expected of them errs no more than it says."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.baseline import Baseline, build_baseline
from monitor.baseline.seasonality import (
    NONE,
    Seasonality,
    left_over,
    read_calendar,
    variances_between,
)
from monitor.contract.config import BaselineConfig
from monitor.evidence.edetector import Detector
from monitor.sketch.bucket import Bucket
from monitor.sketch.features import extract
from monitor.sketch.fold import fold, fold_rows
from monitor.sketch.hours import HOURS, hour_of_week
from monitor.sketch.layout import PROMPT_SCORES
from monitor.sketch.scored import Scored
from monitor.verdict.signals import measure
from tests.monitor.synthetic import World

DAY = 86400.0
MONDAY = 4 * DAY


def every(minutes: float, days: float) -> NDArray[np.float64]:
    """Return moments at equal distances from a Monday on."""
    return np.arange(MONDAY, MONDAY + days * DAY, 60.0 * minutes)


@pytest.mark.parametrize(
    ("days", "kind", "why"),
    [
        (14, "hour_of_week", "covers 14.0 days"),
        (30, "hour_of_week", "covers 30.0 days"),
        (13, "hour_of_day", "covers 13.0 days"),
        (2, "hour_of_day", "covers 2.0 days, nothing of 24 of 48 slots"),
        (0.5, "none", "less than a day"),
    ],
)
def test_the_history_decides(days: float, kind: str, why: str):
    """Two weeks allow hours of the week, a day hours of the day, and what is in use is said in words."""
    calendar = read_calendar(every(20, days), "UTC")
    assert calendar.kind == kind
    assert why in calendar.why


@pytest.mark.parametrize("times", [np.zeros(50), np.zeros(0), np.full(9, 5e5), np.append(every(20, 20), 0.0)])
def test_without_times_there_are_no_hours(times: NDArray[np.float64]):
    """No times, one moment only, or times for a part: nothing is assumed."""
    calendar = read_calendar(times, "UTC")
    assert (calendar.kind, calendar.slots) == ("none", 0)
    assert "no times" in calendar.why


def waves(times: NDArray[np.float64], rng: np.random.Generator, height: float) -> NDArray[np.float64]:
    """Draw a score of variance one whose mean follows the hour of the day, beside one that does not."""
    hour = hour_of_week(times) % 24
    mean = height * np.sqrt(2) * np.cos(2 * np.pi * hour / 24)
    noise = rng.standard_normal((len(times), 2)) * np.sqrt([1 - height**2, 1.0])
    return noise + np.column_stack([mean, np.zeros(len(times))])


@pytest.mark.parametrize("height", [0.0, 0.3, 0.6])
def test_the_variance_between_hours_is_estimated(height: float):
    """The largest variance between slots is that of the score that has it, noise left out."""
    times, found = every(4, 14), []
    calendar = read_calendar(times, "UTC")
    rows = np.arange(len(times))
    for seed in range(6):
        scores = waves(times, np.random.default_rng(seed), height)
        found.append(variances_between(calendar, [(rows, scores)])[0])
    assert np.mean(found) == pytest.approx(height**2, abs=0.012)


def test_the_largest_of_many_variances_is_not_taken_for_an_hour():
    """Thirty scores without hours show next to nothing; one that has hours shows them among twenty-nine others."""
    times = every(0.144, 1)
    calendar, rows = read_calendar(times, "UTC"), np.arange(len(times))
    nothing, one = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal((len(times), 30))
        nothing.append(variances_between(calendar, [(rows, noise)])[0])
        hours = np.sqrt(2.0) * np.sin(2 * np.pi * times / DAY)
        noise[:, 3] = 0.3 * hours + np.sqrt(1 - 0.09) * noise[:, 3]
        one.append(variances_between(calendar, [(rows, noise)])[0])
    assert np.median(nothing) < 0.0005  # the largest of them is 0.002 before noise is taken off
    assert np.mean(one) == pytest.approx(0.09, abs=0.015)


def test_what_is_left_over_has_no_hours():
    """Residuals of other visits' means no longer follow the hour, and keep a little more than their own variance."""
    times = every(4, 14)
    calendar = read_calendar(times, "UTC")
    scores = waves(times, np.random.default_rng(1), 0.6)
    left = left_over(calendar, np.arange(len(times)), scores, prior=3.0)
    by_hour = [left[calendar.slot == h, 0].mean() for h in range(HOURS)]
    assert np.std(by_hour) < 0.3 * np.std([scores[calendar.slot == h, 0].mean() for h in range(HOURS)])
    assert left.var(axis=0) == pytest.approx([1 - 0.36, 1.0], rel=0.12)


class Days(World):
    """Traffic whose first topic rules by day and whose last one rules by night."""

    def _topics(self, rng: np.random.Generator, n: int) -> NDArray[np.intp]:
        day = (np.arange(n) * 60.0 / self.rate + self.start) // 3600 % 24 < 12
        drawn = rng.choice(4, n, p=[0.7, 0.2, 0.08, 0.02])
        return np.where(day, drawn, 3 - drawn).astype(np.intp)


def learn(world: World, n: int, **settings: str) -> Baseline:
    """Learn a baseline."""
    config = BaselineConfig(clusters=8, **settings)
    return build_baseline(world.make(n, 1), route="default", scorer="s", settings=config, created=1.0)


@pytest.fixture(scope="module")
def fortnight() -> Baseline:
    """Give a baseline of two weeks, fifteen exchanges an hour."""
    return learn(Days(rate=0.25, start=MONDAY), 5040)


def window_of(baseline: Baseline, stream: Scored) -> Bucket:
    """Fold a stream into one window."""
    features = extract(stream)
    return fold_rows(
        baseline, stream, features, baseline.encode(stream, features), np.arange(len(stream.exchanges))
    )


def test_a_window_meets_its_own_hours(fortnight: Baseline):
    """A night's traffic differs from the baseline's mean and not from its nights."""
    assert fortnight.seasonality.kind == "hour_of_week"
    night = window_of(fortnight, Days(rate=0.5, start=MONDAY + 28.5 * DAY).make(360, 2))
    axis = PROMPT_SCORES.index("prompt axis 1")
    mean = night.read("prompt_scores")[axis] / night.count("prompts")
    matched = fortnight.matched(night).reference
    usual = matched.read("prompt_scores")[axis] / matched.count("prompts")
    assert abs(mean) > 0.4
    assert abs(mean - usual) < 0.2
    plain = measure(fortnight.__class__(**fields_of(fortnight) | {"seasonality": NONE}), night)
    own = measure(fortnight, night)
    assert (plain["prompt_js"].p_value or 0.0) < 1e-6 < (own["prompt_js"].p_value or 0.0)


def alarms(baseline: Baseline, stream: Scored) -> bool:
    """Tell whether the live evidence alarms anywhere along a stream."""
    detector = Detector(baseline, 1.0)
    evidence = detector.start()
    for key, bucket in sorted(fold(baseline, stream).items(), key=lambda item: item[0].minute):
        evidence = detector.advance(evidence, bucket, minutes=2.0, now=60.0 * key.minute)
        if evidence.alarmed:
            return True
    return False


def test_days_and_nights_raise_nothing(fortnight: Baseline):
    """Three days of the same days and nights are quiet; without telling hours apart the first night alarms."""
    live = Days(rate=0.5, start=MONDAY + 28 * DAY).make(2160, 5)
    assert not alarms(fortnight, live)
    assert alarms(fortnight.__class__(**fields_of(fortnight) | {"seasonality": NONE}), live)
    worse = Days(rate=0.5, start=MONDAY + 28 * DAY, quality=-0.1).make(720, 5)
    assert alarms(fortnight, worse)


def fields_of(baseline: Baseline) -> dict[str, object]:
    """Return the fields of a baseline."""
    return {name: getattr(baseline, name) for name in Baseline.__slots__}


def test_matching_twice_is_matching_once(fortnight: Baseline):
    """What is matched tells no hours apart any more; untimed windows are left alone."""
    night = window_of(fortnight, Days(rate=0.5, start=MONDAY + 28.5 * DAY).make(60, 2))
    once = fortnight.matched(night)
    assert once.matched(night) is once
    assert once.size < fortnight.size
    untimed = window_of(fortnight, World(rate=0.0).make(60, 2))
    assert fortnight.matched(untimed) is fortnight


def test_it_survives_bytes(fortnight: Baseline):
    """A baseline read back expects the same of every hour."""
    again = Baseline.from_bytes(fortnight.to_bytes())
    hours = np.zeros(HOURS)
    hours[[3, 100]] = 2.0
    one, two = (b.seasonality.expected(hours) for b in (fortnight, again))
    assert one is not None
    assert two is not None
    assert np.array_equal(one.mean, two.mean)
    assert one[1:] == two[1:]
    assert again.to_bytes() == fortnight.to_bytes()


def test_the_clock_can_be_told():
    """In another zone the same exchanges fall on other hours."""
    world = World(rate=0.1, start=MONDAY)
    utc, there = (learn(world, 300, time_zone=zone) for zone in ("UTC", "Asia/Tokyo"))
    stream = World(rate=30, start=MONDAY).make(20, 3)
    assert np.argmax(window_of(utc, stream).read("hours")) == 0
    assert np.argmax(window_of(there, stream).read("hours")) == 9


def test_little_known_hours_are_uncertain():
    """The variance of what is expected falls with what was seen of an hour, and with the hours in a window."""
    seen = np.full(HOURS, 50.0)
    seen[7] = 0.0
    season = Seasonality("hour_of_week", "", "UTC", seen, np.zeros((HOURS, 3), np.float32), 30.0, 0.01)
    one, unseen, many = (np.bincount([hour], minlength=HOURS) * 1.0 for hour in (3, 7, 3))
    many[:] = 1.0
    known = [season.expected(hours) for hours in (one, unseen, many)]
    variances = [e.variance for e in known if e is not None]
    assert variances == [pytest.approx(1 / 80), pytest.approx(1 / 30), pytest.approx(1 / 80 / 168, rel=0.02)]
