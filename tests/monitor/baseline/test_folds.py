"""What is held out together are stretches of time, and what is held out is as what comes later."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from monitor.baseline.folds import Arrivals, folds, split, stretches
from monitor.baseline.quantiser import Fitted, fit_quantiser
from tests.monitor.synthetic import World


def test_stretches_are_neighbours_in_time():
    """Whatever the order of the rows, a stretch is so many exchanges in a row, and all but the last are alike long."""
    times = np.random.default_rng(1).permutation(1013) * 7.5
    stretch = stretches(Arrivals.at(times))
    assert (np.diff(stretch[np.argsort(times)]) >= 0).all()
    sizes = np.bincount(stretch)
    assert set(sizes[:-1]) == {25}
    assert 40 <= len(sizes) <= 42


@pytest.mark.parametrize("times", [np.zeros(0), np.zeros(7), np.full(5, 3.0)])
def test_without_times_each_is_one_by_itself(times: np.ndarray):
    """Nothing says who the neighbours are."""
    assert stretches(Arrivals.at(times)).tolist() == list(range(len(times)))


@pytest.mark.parametrize("count", [2, 4, 8])
def test_stretches_stay_whole_and_folds_alike(count: int):
    """A stretch lies in one fold, every fold has its share of each part of the time, and chance decides which."""
    times = np.arange(2000.0)
    stretch, fold = stretches(Arrivals.at(times)), folds(Arrivals.at(times), count, seed=1)
    of = [set(fold[stretch == s].tolist()) for s in range(40)]
    assert all(len(each) == 1 for each in of)
    for first in range(0, 40, count):
        assert set.union(*of[first : first + count]) == set(range(count))
    assert (fold != folds(Arrivals.at(times), count, seed=2)).any()
    assert (fold == folds(Arrivals.at(times), count, seed=1)).all()


@pytest.mark.parametrize("n", [50, 103, 400])
@pytest.mark.parametrize("count", [2, 4, 8])
def test_folds_are_alike_large_wherever_the_exchanges_lie(n: int, count: int):
    """A crowd within a minute and some strays long before and after are parted as evenly as any."""
    times = np.r_[0.0, 5.0, 1e6 + np.random.default_rng(2).random(n - 3) * 60.0, 2e6]
    sizes = np.bincount(folds(Arrivals.at(times), count, seed=0), minlength=count)
    assert sizes.min() >= 0.6 * n / count


def sessions(rng: np.random.Generator, n: int, length: int) -> np.ndarray:
    """Draw unit vectors, `length` in a row about one thing, of which there are ever new ones."""
    about = np.repeat(rng.standard_normal((n // length + 1, 16)), length, axis=0)[:n]
    points = about + 0.2 * rng.standard_normal((n, 16))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def novel(fitted: Fitted, rng: np.random.Generator) -> float:
    """Return the share of new exchanges that lie beyond nine tenths of the baseline's."""
    return float((fitted.quantiser.assign(sessions(rng, 4000, 20)).novelty > 0.9).mean())


def test_later_sessions_are_no_more_novel_than_what_was_held_out():
    """Held out one by one, exchanges have their own session among what is learnt from, and new ones seem far."""
    one_by_one, together = split(Arrivals.at(np.zeros(4000)), 0), split(Arrivals.at(np.arange(4000.0)), 0)
    found = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        known = sessions(rng, 4000, 20)
        fitted = [fit_quantiser(known, parted, 8, seed=0) for parted in (one_by_one, together)]
        found.append([novel(each, rng) for each in fitted])
    assert np.mean(found, axis=0)[0] > 0.2
    assert np.mean(found, axis=0)[1] == pytest.approx(0.1, abs=0.04)


@pytest.mark.parametrize("count", [2, 4, 8, 20])
def test_without_times_copies_stay_together(count: int):
    """Several answers to a prompt lie in one fold, and folds are alike large all the same."""
    rng = np.random.default_rng(3)
    text = rng.permutation(np.repeat(np.arange(150), rng.integers(1, 9, 150)))
    fold = folds(Arrivals(np.zeros(len(text)), text), count, seed=0)
    assert all(len(set(fold[text == one].tolist())) == 1 for one in range(150))
    sizes = np.bincount(fold, minlength=count)
    assert sizes.min() >= 0.6 * len(text) / count


def test_times_say_more_than_copies():
    """Where times tell who came after whom, what was asked makes no difference."""
    times = np.random.default_rng(4).permutation(500).astype(float)
    asked = np.random.default_rng(5).integers(0, 40, 500)
    assert (stretches(Arrivals(times, asked)) == stretches(Arrivals.at(times))).all()


@pytest.mark.parametrize("asked", [np.zeros(400, dtype=np.intp), np.arange(400) % 10])
def test_what_is_asked_all_the_time_is_in_every_fold(asked: np.ndarray):
    """A prompt that fills more than a stretch is no group to be held out: there may be no other."""
    fold = folds(Arrivals(np.zeros(400), asked), 4, seed=0)
    assert np.bincount(fold, minlength=4).tolist() == [100] * 4
    assert all(set(fold[asked == one].tolist()) == set(range(4)) for one in np.unique(asked))


def test_arrivals_of_exchanges():
    """Equal prompts have one number; exchanges without a prompt have one each."""
    asked = ["a", "", "b", "a", ""]
    exchanges = [
        msgspec.structs.replace(e, prompt=p) for e, p in zip(World().make(5).exchanges, asked, strict=True)
    ]
    found = Arrivals.of(exchanges)
    assert found.text[0] == found.text[3]
    assert len(set(found.text.tolist())) == 4
    assert found.times.tolist() == [e.time for e in exchanges]
    assert found.take(np.array([2, 0])).text.tolist() == found.text[[2, 0]].tolist()


def test_exchanges_of_one_day_are_in_no_order():
    """In a file sorted by topic whose times are dates, a stretch holds every topic, and equal prompts side by side."""
    topic = np.repeat(np.arange(8), 100)
    day = np.arange(800) % 2 * 86400.0
    found = stretches(Arrivals.at(day))
    assert all(len(set(topic[found == s].tolist())) >= 5 for s in range(40))
    assert all(len(set(day[found == s].tolist())) == 1 for s in range(40))
    asked = np.arange(800) // 4
    together = stretches(Arrivals(np.where(np.arange(800) < 400, 0.0, 86400.0), asked))
    assert sum(len(set(together[asked == one].tolist())) == 1 for one in range(200)) > 150
