"""A baseline is a value: it survives bytes, and sees every exchange the same way afterwards."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.baseline import Baseline
from monitor.sketch.features import extract
from tests.monitor.synthetic import World


def test_bytes_round_trip(reference: Baseline):
    """What is stored is what is read, down to the bytes."""
    again = Baseline.from_bytes(reference.to_bytes())
    assert again.to_bytes() == reference.to_bytes()
    assert (again.id, again.route, again.scorer, again.created, again.size) == (
        reference.id,
        "default",
        "synthetic",
        1.0,
        1500,
    )
    assert again.prompt.terms == reference.prompt.terms


def test_both_see_exchanges_alike(reference: Baseline):
    """A baseline read back encodes new exchanges to the same numbers."""
    stream = World().make(80, seed=3)
    features = extract(stream)
    one, two = (b.encode(stream, features) for b in (reference, Baseline.from_bytes(reference.to_bytes())))
    assert np.array_equal(one.prompt_scores, two.prompt_scores)
    assert np.array_equal(one.residuals, two.residuals)
    assert np.array_equal(one.expected_reward, two.expected_reward)
    assert np.array_equal(one.prompts.novelty, two.prompts.novelty)


def test_an_exchange_is_seen_the_same_in_any_company(reference: Baseline):
    """Encoding uses nothing but the baseline: neighbours in a batch do not matter."""
    stream = World().make(40, seed=3)
    together = reference.encode(stream, extract(stream))
    alone = stream.take([7])
    single = reference.encode(alone, extract(alone))
    assert np.array_equal(single.residuals[0], together.residuals[7])
    assert single.prompts.cluster[0] == together.prompts.cluster[7]


def test_the_expectation_explains_part_of_the_reward(reference: Baseline):
    """Rewards that differ by topic are expected to: the topics' part of the variance is explained."""
    stream = World().make(1500, seed=4)
    expected = reference.encode(stream, extract(stream)).expected_reward
    assert np.corrcoef(expected, stream.reward)[0, 1] > 0.4


@pytest.mark.parametrize("cut", [0, 4, 40, -1, -1000])
def test_damaged_baselines_are_refused(reference: Baseline, cut: int):
    """A cut-off file ends in one ValueError, wherever it was cut."""
    with pytest.raises(ValueError, match="not a baseline"):
        Baseline.from_bytes(reference.to_bytes()[:cut])


def test_other_files_are_refused():
    """Bytes of something else are no baseline."""
    with pytest.raises(ValueError, match="not a baseline"):
        Baseline.from_bytes(b"PK\x03\x04" + bytes(100))
