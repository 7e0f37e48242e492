"""The streams of benchmarks/detection have the patterns they are named for, and nothing else changes in them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.detection.streams import (
    DAY,
    HOUR,
    Span,
    Stream,
    abrupt,
    busy_user,
    changed,
    hour_of_week,
    iid,
    lossy,
    ramp,
    sessions,
)

TOPIC = np.repeat(np.arange(10), 50)
GENERATORS = (iid, hour_of_week, sessions, busy_user)


def draw(generator: Callable[..., Stream], days: float = 14.0, rate: float = 5.0, seed: int = 3) -> Stream:
    """Draw a stream."""
    return generator(np.random.default_rng(seed), TOPIC, Span(rate, 3 * DAY, days))


@pytest.mark.parametrize("generator", GENERATORS)
def test_a_stream_keeps_its_rate_its_span_and_its_order(generator: Callable[..., Stream]):
    """Every generator gives the exchanges it was asked for, in order of time, the same for the same seed."""
    stream = draw(generator)
    assert len(stream.times) == pytest.approx(14 * 24 * 60 * 5, rel=0.05)
    assert (np.diff(stream.times) >= 0).all()
    assert stream.times[0] >= 3 * DAY
    assert stream.times[-1] < 17 * DAY
    again = draw(generator)
    assert np.array_equal(stream.rows, again.rows)
    assert np.array_equal(stream.times, again.times)


@pytest.mark.parametrize("generator", GENERATORS)
def test_nothing_changes_from_one_week_to_the_next(generator: Callable[..., Stream]):
    """The topics of both weeks are the same up to chance."""
    stream = draw(generator, rate=20.0)
    weeks = [
        np.bincount(TOPIC[part.rows], minlength=10)
        for part in (stream.until(10 * DAY), stream.after(10 * DAY))
    ]
    shares = [counts / counts.sum() for counts in weeks]
    assert np.abs(shares[0] - shares[1]).max() < 0.015


def test_the_hour_of_the_week_decides_amount_and_topics():
    """Days are busier than nights, and a topic has its hour."""
    stream = draw(hour_of_week)
    hour = (stream.times // HOUR).astype(int) % 24
    by_hour = np.bincount(hour, minlength=24)
    assert by_hour[15] > 2.5 * by_hour[3]
    share = [np.bincount(TOPIC[stream.rows[hour == h]], minlength=10)[0] / by_hour[h] for h in (0, 12)]
    assert share[0] > 3 * share[1]


def test_sessions_stay_on_their_topic():
    """Neighbours share a topic far more often than independent exchanges do."""
    sticky, independent = (draw(generator, rate=0.2) for generator in (sessions, iid))
    same = [float((np.diff(TOPIC[stream.rows]) == 0).mean()) for stream in (sticky, independent)]
    assert same[0] > 2.5 * same[1]


def test_the_busy_user_sends_a_tenth():
    """A tenth of the traffic is the user's own rows, beside what everybody asks."""
    stream = draw(busy_user)
    counts = np.bincount(stream.rows, minlength=len(TOPIC)) / len(stream.rows)
    own = np.sort(counts)[-40:].sum()
    assert own - 40 / len(TOPIC) * 0.9 == pytest.approx(0.10, abs=0.02)


def test_the_mirror_loses_a_twentieth_in_part_at_once():
    """A twentieth is missing, and some silences are longer than arrivals would make."""
    whole = draw(iid, rate=20.0)
    left = lossy(whole, np.random.default_rng(5))
    assert len(left.rows) / len(whole.rows) == pytest.approx(0.95, abs=0.01)
    assert np.diff(left.times).max() > 10 * np.diff(whole.times).max()


def test_a_change_takes_its_share_from_its_onset_on():
    """Abrupt and gradual changes replace the share they name, and nothing before their onset."""
    stream, other = draw(iid), np.array([9999])
    onset = 10 * DAY
    for share, whole in ((abrupt(onset, 0.2), 0.2), (ramp(onset, 0.2, days=4.0), 0.1)):
        new = changed(stream, np.random.default_rng(1), other, share)
        assert not (new.until(onset).rows == 9999).any()
        assert (new.after(onset).until(onset + 4 * DAY).rows == 9999).mean() == pytest.approx(whole, abs=0.01)
