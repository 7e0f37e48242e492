"""The reward head's laws on the shipped weights."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file
from scoring.reward import load_reward
from scoring.safetensors_file import read_safetensors

from monitor.contract.config import Detection

PROMPTS = ["How does a vaccine work?", "Write a poem.", "", "2+2?"]
RESPONSES = ["It trains the immune system to recognise a germ.", "roses roses roses", "Hello.", ""]


def test_rewards_are_probabilities_and_do_not_depend_on_the_batch(models):
    """Every reward lies strictly in (0, 1) and is the same alone and in a batch."""
    together = models.reward(PROMPTS, RESPONSES)
    assert ((together > 0) & (together < 1)).all()
    alone = [models.reward([p], [r])[0] for p, r in zip(PROMPTS, RESPONSES, strict=True)]
    np.testing.assert_array_equal(together, alone)


def test_worse_answers_are_worth_less(models):
    """Blank, looping and refusing answers are worth less than a plain good one."""
    prompt = "Explain why the sky is blue."
    good = (
        "Sunlight is scattered by the molecules of the air. Short wavelengths, such as blue, are scattered far more "
        "than long ones, so blue light reaches us from every direction of the sky."
    )
    rewards = models.reward(
        [prompt] * 4, [good, "", "sky sky sky sky sky sky", "I'm sorry, I cannot answer that."]
    )
    assert (rewards[1:] < rewards[0]).all()


def test_repeating_an_answer_earns_little(models):
    """An answer ten times over is not worth more than the answer: length alone is no merit."""
    prompt = "Explain why the sky is blue."
    answer = "Air scatters blue light more than red light, so the sky looks blue to us. "
    once, often = models.reward([prompt] * 2, [answer, answer * 10])
    assert often <= once * 1.1


def test_a_head_of_other_features_is_refused(weights, tmp_path):
    """Weights trained with other features end in one message that names both versions."""
    tensors, metadata = read_safetensors(weights / "reward.safetensors")
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    save_file(contiguous, tmp_path / "reward.safetensors", metadata={**metadata, "style_version": "0"})
    with pytest.raises(ValueError, match=r"style_version '0', here it is '2'"):
        load_reward(tmp_path)


def test_a_head_that_lacks_a_tensor_is_refused(weights, tmp_path):
    """A file without the weights says which tensor is missing."""
    _, metadata = read_safetensors(weights / "reward.safetensors")
    save_file({"mean": np.zeros(3, np.float32)}, tmp_path / "reward.safetensors", metadata=metadata)
    with pytest.raises(ValueError, match="lacks the tensor `scale`"):
        load_reward(tmp_path)


def test_the_identity_changes_with_the_weights(models, weights, tmp_path):
    """Another weight is another head."""
    tensors, metadata = read_safetensors(weights / "reward.safetensors")
    changed = {name: np.array(tensor) for name, tensor in tensors.items()}
    save_file(changed, tmp_path / "reward.safetensors", metadata=metadata)
    same = load_reward(tmp_path).reward(PROMPTS, RESPONSES)
    np.testing.assert_array_equal(same, models.reward(PROMPTS, RESPONSES))
    changed["weight"][0] += 1e-3
    save_file(changed, tmp_path / "reward.safetensors", metadata=metadata)
    assert load_reward(tmp_path).identity != models.rewarder.identity


def test_the_configured_error_is_the_measured_one(weights):
    """The default of `detection.reward_error` is what was measured of these weights, to two digits."""
    _, metadata = read_safetensors(weights / "reward.safetensors")
    assert Detection().reward_error == round(float(metadata["model_error"]), 2) > 0


def test_the_shipped_weights_are_small(weights):
    """All weights together stay below 10 MB."""
    assert sum(path.stat().st_size for path in weights.iterdir()) < 10_000_000
