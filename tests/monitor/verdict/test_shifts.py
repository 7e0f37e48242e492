"""Explanations name what moved, in words and with examples, and keep quiet about noise."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from monitor.baseline import Baseline
from monitor.sketch.bucket import Bucket
from monitor.sketch.features import extract
from monitor.sketch.fold import fold_rows
from monitor.sketch.scored import Scored
from monitor.store.packed import joined
from monitor.verdict.shifts import explain
from tests.monitor.synthetic import World


def window(baseline: Baseline, world: World, n: int = 600, seed: int = 4) -> Bucket:
    """Fold n exchanges of a world into one bucket."""
    stream = world.make(n, seed)
    features = extract(stream)
    return fold_rows(baseline, stream, features, baseline.encode(stream, features), np.arange(n))


def test_noise_is_not_explained(reference: Baseline):
    """Of ten driftless windows hardly any has a shift to tell of."""
    told = [explain(reference, window(reference, World(), 300, seed)) for seed in range(10)]
    assert sum(map(bool, told)) <= 1


def test_a_new_topic_is_shown(reference: Baseline):
    """New prompts come with their share, an interval and examples of the new topic."""
    found = explain(reference, window(reference, World(shares=(0.4, 0.3, 0.2, 0.1, 0.5))))
    born = found[0]
    assert born.kind == "new_cluster"
    assert born.baseline == 0.0
    assert born.interval is not None
    assert born.interval[0] < 1 / 3 < born.interval[1]
    assert born.exemplars
    assert all(e.prompt.startswith("What is") for e in born.exemplars)
    assert born.terms
    assert born.name == ", ".join(born.terms[:3])


def test_a_few_new_prompts_have_no_name(reference: Baseline):
    """Examples, a size and why there is no name yet: what twelve prompts have in common is chance."""
    (born, *_) = explain(reference, window(reference, World(shares=(0.4, 0.3, 0.2, 0.1, 1.0)), 24))
    assert born.kind == "new_cluster"
    assert born.name == "prompts unlike any before, too few yet to name a topic"
    assert born.terms == ()
    assert born.exemplars
    assert born.interval is not None
    assert born.interval[0] < born.window < born.interval[1]


@pytest.mark.parametrize(("users", "fewest", "most"), [(1, 0, 3), (60, 8, 10)])
def test_a_topic_of_one_user_has_no_name_for_an_hour(reference: Baseline, users: int, fewest: int, most: int):
    """The usual prompts of others, of which some always lie far, do not make it one of several users."""
    named = 0
    for seed in range(10):
        usual = _from(World(shares=(0.4, 0.3, 0.2, 0.1, 0.0)).make(540, seed), "known", 540)
        new = _from(World(shares=(0.0, 0.0, 0.0, 0.0, 1.0)).make(60, 100 + seed), "new", users)
        both = joined([usual, new])
        features = extract(both)
        mine = fold_rows(reference, both, features, reference.encode(both, features), np.arange(600))
        named += any(shift.kind == "new_cluster" and shift.terms != () for shift in explain(reference, mine))
    assert fewest <= named <= most


def _from(scored: Scored, name: str, users: int) -> Scored:
    """Return exchanges as of so many users."""
    exchanges = [
        msgspec.structs.replace(x, user=f"{name} {i % users}") for i, x in enumerate(scored.exchanges)
    ]
    return scored._replace(exchanges=exchanges)


def test_grown_and_shrunken_topics_are_named(reference: Baseline):
    """The topic that grew and the one that shrank are named by their words."""
    found = [
        s
        for s in explain(reference, window(reference, World(shares=(0.05, 0.3, 0.2, 0.45))))
        if s.kind == "prompt_cluster"
    ]
    assert any(s.window > s.baseline + 0.05 for s in found)
    assert any(s.window < s.baseline - 0.05 for s in found)
    assert all(s.terms and s.name == ", ".join(s.terms[:3]) for s in found)
    assert all(s.interval is not None and s.interval[0] <= s.window <= s.interval[1] for s in found)


def test_habits_of_style_are_named(reference: Baseline):
    """Refusals show in the words that they consist of, and no more than five habits are told."""
    found = {
        s.name: s for s in explain(reference, window(reference, World(refusals=0.4))) if s.kind == "style"
    }
    assert {"apology", "negation"} <= found.keys()
    assert found["apology"].baseline == 0.0 < found["apology"].window
    assert len(found) <= 5


def test_an_empty_window_has_nothing_to_explain(reference: Baseline):
    """No exchanges, no shifts."""
    assert explain(reference, Bucket.empty(reference.id, reference.shape)) == ()
