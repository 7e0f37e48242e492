"""The reward head's laws on the shipped weights."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file
from scoring.reward import Read, load_reward
from scoring.safetensors_file import read_safetensors

PROMPTS = ["How does a vaccine work?", "Write a poem.", "", "2+2?"]
RESPONSES = ["It trains the immune system to recognise a germ.", "roses roses roses", "Hello.", ""]


def test_rewards_are_probabilities_and_do_not_depend_on_the_batch(models):
    """Every reward lies strictly in (0, 1) and is the same alone and in a batch."""
    together = models.reward(PROMPTS, RESPONSES)
    assert ((together > 0) & (together < 1)).all()
    alone = [models.reward([p], [r])[0] for p, r in zip(PROMPTS, RESPONSES, strict=True)]
    np.testing.assert_array_equal(together, alone)


def test_texts_split_already_change_nothing(models):
    """Pieces handed over are used only when this head's reader made them, and then give the same rewards."""
    head = models.rewarder
    own = Read(head.embedder.reader, head.embedder.read(PROMPTS), head.embedder.read(RESPONSES))
    foreign = Read("another", [], [])
    expected = head.reward(PROMPTS, RESPONSES)
    np.testing.assert_array_equal(head.reward(PROMPTS, RESPONSES, own), expected)
    np.testing.assert_array_equal(head.reward(PROMPTS, RESPONSES, foreign), expected)


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


def test_a_head_of_another_embedding_is_refused(models, weights, tmp_path):
    """Weights trained with another embedding end in one message that names both."""
    _copy_embedding(weights, tmp_path)
    tensors, metadata = read_safetensors(weights / "reward.safetensors")
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    save_file(
        contiguous, tmp_path / "reward.safetensors", metadata={**metadata, "embedding": "static-1:other"}
    )
    with pytest.raises(ValueError, match=r"static-1:other.*static-256"):
        load_reward(tmp_path, models.embedder.reader)


def test_a_head_that_lacks_a_tensor_is_refused(models, weights, tmp_path):
    """A file without the weights says which tensor is missing."""
    _copy_embedding(weights, tmp_path)
    _, metadata = read_safetensors(weights / "reward.safetensors")
    save_file({"mean": np.zeros(3, np.float32)}, tmp_path / "reward.safetensors", metadata=metadata)
    with pytest.raises(ValueError, match="lacks the tensor `scale`"):
        load_reward(tmp_path, models.embedder.reader)


def test_the_shipped_weights_are_small(weights):
    """All weights together stay below 20 MB."""
    assert sum(path.stat().st_size for path in weights.iterdir()) < 20_000_000


def _copy_embedding(weights, folder):
    for name in ("reward_embedding.safetensors", "vocabulary.txt"):
        shutil.copy(weights / name, folder)
