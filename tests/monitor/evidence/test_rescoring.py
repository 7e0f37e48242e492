"""The same texts scored again: noise is no change, anything beyond it is."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.evidence.rescoring import (
    FIRST_LOOK,
    KEPT,
    Anchors,
    Noise,
    anchors_from_bytes,
    anchors_to_bytes,
    change_of,
    choose_anchors,
    compare_anchors,
)
from tests.monitor.synthetic import World


@pytest.fixture(scope="module")
def scored():
    """Give scored exchanges."""
    return World().make(300, seed=3)


@pytest.fixture(scope="module")
def anchors(scored) -> Anchors:
    """Give anchors of them."""
    return choose_anchors(scored)


def again(anchors: Anchors, *, reward=0.0, spread=0.0, turn=0.0, seed=0):
    """Score the anchors again, with what the scorer does differently."""
    rng = np.random.default_rng(seed)

    def turned(vectors):
        moved = vectors.astype(np.float32) + turn * rng.standard_normal(vectors.shape).astype(np.float32)
        return moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9)

    rewards = anchors.reward + reward + spread * rng.standard_normal(len(anchors.reward)).astype(np.float32)
    return turned(anchors.prompt), turned(anchors.response), rewards.astype(np.float32)


def test_few_are_kept_and_they_do_not_depend_on_order(scored, anchors):
    """Whoever made the baseline keeps the same anchors."""
    assert len(anchors.prompts) == KEPT
    shuffled = scored.take(np.random.default_rng(0).permutation(300))
    assert choose_anchors(shuffled).prompts == anchors.prompts


def test_bytes_give_the_anchors_back(anchors):
    """And damaged ones a clear error."""
    back = anchors_from_bytes(anchors_to_bytes(anchors))
    assert back.prompts == anchors.prompts
    assert back.responses == anchors.responses
    for mine, theirs in zip(back[2:], anchors[2:], strict=True):
        assert np.array_equal(mine, theirs, equal_nan=True)
    with pytest.raises(ValueError, match="damaged"):
        anchors_from_bytes(anchors_to_bytes(anchors)[:-3])


@pytest.mark.parametrize("seed", range(200))
def test_what_batching_and_half_precision_do_is_no_change(anchors, seed):
    """The first look learns the noise of bfloat16 arithmetic; later looks stay within it, over 200 seeds."""
    noisy = {"spread": 0.003, "turn": 0.001}
    first = compare_anchors(anchors, *again(anchors, **noisy, seed=seed), FIRST_LOOK)
    later = compare_anchors(anchors, *again(anchors, **noisy, seed=seed + 1000), first.noise)
    assert change_of(first) is None
    assert change_of(later) is None


@pytest.mark.parametrize(
    ("difference", "reward", "embedding"),
    [
        ({"reward": -0.05}, True, False),
        ({"reward": 0.01}, True, False),
        ({"spread": 0.05}, True, False),
        ({"turn": 0.05}, False, True),
        ({"reward": -0.2, "turn": 1.0}, True, True),
    ],
    ids=["lower", "a tenth of a deviation higher", "other order", "other embedder", "both"],
)
@pytest.mark.parametrize("noise", [Noise(), Noise(0.002, 0.001)], ids=["exact", "noisy"])
def test_a_changed_scorer_is_seen(anchors, difference, reward, embedding, noise):
    """Whichever part of it changed is named."""
    changed = change_of(compare_anchors(anchors, *again(anchors, **difference), noise))
    assert changed is not None
    assert (changed.reward, changed.embedding) == (reward, embedding)
    assert "stored exchanges" in changed.said or "embeddings" in changed.said


def test_another_dimension_is_another_embedder(anchors):
    """Vectors that cannot be compared are not alike."""
    n = len(anchors.prompts)
    found = compare_anchors(
        anchors, np.ones((n, 3), np.float32), np.ones((n, 3), np.float32), anchors.reward, Noise()
    )
    assert (found.embedding_changed, found.reward_changed) == (True, False)


def test_a_reward_model_that_is_gone_has_changed(anchors):
    """No reward where there was one."""
    nothing = np.full(len(anchors.reward), np.nan, np.float32)
    prompt, response, _ = again(anchors)
    assert compare_anchors(anchors, prompt, response, nothing, Noise()).reward_changed


def test_prompts_alone_can_be_watched():
    """A baseline without answers has anchors, too, and nothing to say of rewards."""
    scored = World().make(100, seed=1)
    bare = scored._replace(response=np.zeros_like(scored.response), reward=np.full(100, np.nan, np.float32))
    anchors = choose_anchors(bare)
    prompt, response, reward = again(anchors)
    found = compare_anchors(anchors, prompt, np.zeros_like(response), reward, Noise())
    assert change_of(found) is None
    assert found.rewarded == 0
