"""Rewards of equal texts: noise is symmetric, a changed scorer is not."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from monitor.evidence.pairs import (
    FEWEST_PAIRS,
    PairEvidence,
    Pairs,
    given_by_files,
    given_share,
    symmetric_p,
    two_sources,
)
from tests.monitor.synthetic import World


def given(scored, rewards=None):
    """Return exchanges that carry their rewards themselves."""
    rewards = scored.reward if rewards is None else rewards
    exchanges = [
        msgspec.structs.replace(e, reward=float(r)) for e, r in zip(scored.exchanges, rewards, strict=True)
    ]
    return scored._replace(exchanges=exchanges, reward=np.asarray(rewards, np.float32))


def noisy_pairs(rng, n, shift=0.0, scale=1.0):
    """Draw rewards that one noisy scorer gives twice, the second time changed."""
    truth = rng.standard_normal(n)
    first, second = (truth + 0.5 * rng.standard_t(3, n) for _ in range(2))
    return np.column_stack([first, scale * second + shift])


def test_the_level_holds_for_heavy_tails():
    """Of 300 draws of one noisy scorer at level 0.05 about 15 may be called changed; 28 would be one in a thousand."""
    false = sum(symmetric_p(noisy_pairs(np.random.default_rng(s), 40), 1.0) <= 0.05 for s in range(300))
    assert false <= 27


@pytest.mark.parametrize(
    ("shift", "scale"), [(-0.6, 1.0), (0.6, 1.0), (0.0, 2.0)], ids=["lower", "higher", "wider"]
)
def test_a_changed_scorer_is_found(shift, scale):
    """Its mean or its scale gives it away."""
    assert symmetric_p(noisy_pairs(np.random.default_rng(0), 120, shift, scale), 1.0) <= 0.001


def test_too_few_pairs_say_nothing():
    """Eleven of one sign could be chance at the levels asked for."""
    pairs = np.column_stack([np.zeros(FEWEST_PAIRS - 1), np.ones(FEWEST_PAIRS - 1)])
    assert symmetric_p(pairs, 1.0) == 1.0


@pytest.mark.parametrize("seed", range(20))
def test_waiting_never_raises_the_wealth(seed):
    """Ten thousand pairs of one noisy scorer stay below the alarm of a monthly budget."""
    evidence = PairEvidence.start()
    highest = 0.0
    for _ in range(500):
        evidence = evidence.advance(noisy_pairs(np.random.default_rng([seed, evidence.pairs]), 20), 1.0)
        highest = max(highest, evidence.total)
    assert highest < np.log(432_000)


def test_a_stream_finds_the_change_within_forty_pairs():
    """A reward model that scores half a deviation lower, every time."""
    evidence = PairEvidence.start()
    while evidence.total < np.log(432_000):
        evidence = evidence.advance(np.array([[0.0, -0.5]]), 1.0)
    assert evidence.pairs == 31


def test_each_reward_is_used_once_and_only_where_a_file_gave_it():
    """A text asked twice has two known rewards or one pair; the scorer's own rewards are no pairs."""
    plain = World().make(30, seed=1)
    known, now = given(plain), given(plain, plain.reward - 0.1)
    pairs = Pairs(known)
    rows = range(30)
    assert len(pairs.match(now, rows)) == 30
    assert len(pairs.match(now, rows)) == 0
    assert len(Pairs(plain).match(plain, rows)) == 0
    other = World().make(30, seed=2)
    assert len(Pairs(known).match(given(other), rows)) == 0


def test_rewards_of_two_sources_are_told_apart():
    """A file's on one side and the scorer's on the other."""
    plain = World().make(40, seed=1)
    assert given_share(plain) == 0.0
    assert given_share(given(plain)) == 1.0
    assert two_sources(given(plain), plain)
    assert two_sources(plain, given(plain))
    assert not two_sources(plain, plain)
    assert not two_sources(given(plain), given(plain))


def test_rewards_given_by_files_on_every_side():
    """Only then nothing that is known of the scorer is true of them."""
    plain = World().make(40, seed=1)
    assert given_by_files(given(plain), given(plain))
    assert given_by_files(given(plain))
    assert not given_by_files(given(plain), plain)
    assert not given_by_files(plain)
