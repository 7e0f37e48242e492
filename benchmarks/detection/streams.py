"""Streams: when exchanges come and which of a pool's rows they are. Seeded, nothing changes in any of them.

Law: a generator is a function of a random generator, the topics of a pool and a span of time, and gives times and
rows; it knows nothing of scores. Patterns that real traffic has and drift monitors take for drift, one function each:
hours of the week, sessions that stay on a topic, one busy user, exchanges that the mirror lost. Changes are laid over
a stream by `changed`.

    times 0 = Thursday 1970-01-01 00:00 UTC, as everywhere; an hour of the week is (time // 3600) % 168.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]
Floats = NDArray[np.float64]
Random = np.random.Generator

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
# A session: exchanges in it on average (geometric), and seconds between two of them (exponential).
SESSION_LENGTH, SESSION_GAP_S = 6.0, 60.0
# The busy user: rows that are theirs, share of the traffic while they are at it, mean length of a spell on or off.
USER_ROWS, USER_SHARE, USER_SPELL_S = 40, 0.20, HOUR
# An outage of the mirror loses everything for so many seconds on average.
OUTAGE_S = 120.0


class Stream(NamedTuple):
    """n exchanges in order of time: `times` float64 epoch seconds, `rows` of a pool."""

    times: Floats
    rows: Rows

    def take(self, kept: NDArray[np.bool_]) -> Stream:
        """Return these exchanges."""
        return Stream(self.times[kept], self.rows[kept])

    def until(self, time: float) -> Stream:
        """Return what comes before a time."""
        return self.take(self.times < time)

    def after(self, time: float) -> Stream:
        """Return what comes at a time or later."""
        return self.take(self.times >= time)


class Span(NamedTuple):
    """From `start` (epoch s) for `days`, at `rate` exchanges a minute on average."""

    rate: float
    start: float
    days: float

    @property
    def end(self) -> float:
        """The epoch second at which it ends."""
        return self.start + self.days * DAY


Generator = Callable[[Random, Rows, Span], Stream]


def iid(rng: Random, topic: Rows, span: Span) -> Stream:
    """Draw independent exchanges, Poisson arrivals."""
    times = _arrivals(rng, span)
    return Stream(times, rng.integers(0, len(topic), len(times)))


def hour_of_week(rng: Random, topic: Rows, span: Span) -> Stream:
    """Draw traffic whose amount and mix of topics depend on the hour of the week, the same every week."""
    hours = np.arange(168)
    busy = (1.0 + 0.6 * np.cos(2 * np.pi * (hours - 15) / 24)) * np.where(_weekend(hours), 0.5, 1.0)
    times = _thinned(rng, span, busy / busy.mean())
    weights = week_of_topics(int(topic.max()) + 1)
    rows = np.empty(len(times), dtype=np.intp)
    hour = (times // HOUR).astype(np.intp) % 168
    by_topic = [np.flatnonzero(topic == t) for t in range(len(weights[0]))]
    for h in np.unique(hour):
        places = np.flatnonzero(hour == h)
        rows[places] = _of_topics(rng, by_topic, rng.choice(len(by_topic), len(places), p=weights[h]))
    return Stream(times, rows)


def week_of_topics(topics: int) -> Floats:
    """Return the share of each topic in each hour of the week (168, topics): its own peak hour, its own weekend."""
    hours, k = np.arange(168)[:, None], np.arange(topics)[None, :]
    phase = (k * 0.618034 % 1.0) * 24
    day = 1.0 + 0.8 * np.cos(2 * np.pi * (hours - phase) / 24)
    weight = day * np.where(_weekend(hours), np.where(k % 3 == 0, 0.3, 1.2), 1.0)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True), dtype=np.float64)


def sessions(rng: Random, topic: Rows, span: Span) -> Stream:
    """Draw sessions: each stays on one topic, and sessions overlap."""
    lead = 20 * SESSION_GAP_S * SESSION_LENGTH / DAY
    starts = _arrivals(rng, Span(span.rate / SESSION_LENGTH, span.start - lead * DAY, span.days + lead))
    lengths = rng.geometric(1.0 / SESSION_LENGTH, len(starts))
    session = np.repeat(np.arange(len(starts)), lengths)
    gaps = rng.exponential(SESSION_GAP_S, len(session))
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.intp)
    gaps[first] = 0.0
    since = np.cumsum(gaps)
    times = starts[session] + since - since[first][session]
    by_topic = [np.flatnonzero(topic == t) for t in np.unique(topic)]
    of = rng.choice(len(by_topic), len(starts), p=[len(rows) / len(topic) for rows in by_topic])
    rows = _of_topics(rng, by_topic, of[session])
    order = np.argsort(times, kind="stable")
    return Stream(times[order], rows[order]).after(span.start).until(span.end)


def busy_user(rng: Random, topic: Rows, span: Span) -> Stream:
    """Draw traffic of which one user sends a tenth, in spells of about an hour, asking the same few things."""
    stream = iid(rng, topic, span)
    edges = np.cumsum(rng.exponential(USER_SPELL_S, int(4 * span.days * DAY / USER_SPELL_S) + 16))
    working = np.searchsorted(edges, stream.times - span.start) % 2 == 1
    own = np.random.default_rng(7).choice(
        np.flatnonzero(topic == topic[0]), USER_ROWS
    )  # always the same user
    theirs = working & (rng.random(len(stream.rows)) < USER_SHARE)
    return stream._replace(rows=np.where(theirs, rng.choice(own, len(theirs)), stream.rows))


def lossy(stream: Stream, rng: Random, share: float = 0.05) -> Stream:
    """Lose a share of a stream: half of it here and there, half of it in outages of minutes."""
    start, end = stream.times[0], stream.times[-1] + 1.0
    count = rng.poisson((end - start) * share / 2 / OUTAGE_S)
    begins = np.sort(rng.uniform(start, end, count))
    ends = np.maximum.accumulate(begins + rng.exponential(OUTAGE_S, count)) if count else begins
    inside = np.searchsorted(begins, stream.times, side="right") > np.searchsorted(ends, stream.times)
    return stream.take(~inside & (rng.random(len(stream.rows)) >= share / 2))


def changed(stream: Stream, rng: Random, other: Rows, share: Callable[[Floats], Floats]) -> Stream:
    """Replace a share of a stream, a function of time (n,) -> (n,), by rows drawn from `other`."""
    new = rng.random(len(stream.rows)) < share(stream.times)
    return stream._replace(rows=np.where(new, rng.choice(other, len(new)), stream.rows))


def abrupt(onset: float, share: float) -> Callable[[Floats], Floats]:
    """Return a share that jumps at `onset`."""
    return lambda times: np.where(times >= onset, share, 0.0)


def ramp(onset: float, share: float, days: float = 1.0) -> Callable[[Floats], Floats]:
    """Return a share that grows from nothing at `onset` to its whole after `days`."""
    return lambda times: share * np.clip((times - onset) / (days * DAY), 0.0, 1.0)


def _arrivals(rng: Random, span: Span) -> Floats:
    count = rng.poisson(span.rate * span.days * DAY / MINUTE)
    return np.sort(rng.uniform(span.start, span.end, count))


def _thinned(rng: Random, span: Span, weight: Floats) -> Floats:
    """Return arrivals whose rate is `span.rate` times the weight (168,) of the hour of the week."""
    most = float(weight.max())
    times = _arrivals(rng, span._replace(rate=span.rate * most))
    hour = (times // HOUR).astype(np.intp) % 168
    return times[rng.random(len(times)) < weight[hour] / most]


def _weekend(hours: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Tell Saturday and Sunday; hour 0 is Thursday's first."""
    day = (hours // 24) % 7
    return np.asarray((day == 2) | (day == 3))


def _of_topics(rng: Random, by_topic: list[Rows], wanted: Rows) -> Rows:
    """Draw a row of each wanted topic."""
    rows = np.empty(len(wanted), dtype=np.intp)
    for t in np.unique(wanted):
        places = np.flatnonzero(wanted == t)
        rows[places] = rng.choice(by_topic[t], len(places))
    return rows
