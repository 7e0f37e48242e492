"""Opening models by parameters, and scoring exchanges."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from scoring import TextRefused, open_models


def test_exchanges_without_response_have_zero_rows_and_no_reward(models):
    """None leaves zero and NaN in its place and nothing else."""
    scores = models.score(["a", "b", "c"], ["x", None, "z"])
    assert scores.prompt.dtype == scores.response.dtype == scores.reward.dtype == np.float32
    assert np.isnan(scores.reward).tolist() == [False, True, False]
    assert scores.response.any(axis=1).tolist() == [True, False, True]
    np.testing.assert_array_equal(scores.reward[[0, 2]], models.reward(["a", "c"], ["x", "z"]))


def test_bytes_and_strings_score_alike(models):
    """What arrives from a wire and what is at hand give the same rows."""
    np.testing.assert_array_equal(models.embed(["Grüße"]), models.embed(["Grüße".encode()]))


def test_a_huge_text_is_refused(weights):
    """The limit is a parameter; beyond it scoring raises and names it."""
    small = open_models({"max_text_bytes": "10"}, weights)
    with pytest.raises(TextRefused, match="max_text_bytes = 10"):
        small.score(["short"], ["much longer than that"])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"family": "magic"}, "`family` is 'magic'; expected `static` or `huggingface`"),
        ({"max_text_bytes": "lots"}, "`max_text_bytes` is 'lots'; expected a whole number"),
        ({"famly": "static"}, "unknown model parameter `famly`"),
    ],
)
def test_wrong_parameters_are_named(weights, parameters, message):
    """A wrong value and an unknown name are one line each."""
    with pytest.raises(ValueError, match=message):
        open_models(parameters, weights)


def test_the_identity_names_both_models(models):
    """Embedding and head both stand in the identity, so that a change of either is seen."""
    assert models.identity == f"{models.embedder.identity}+{models.rewarder.identity}"


@pytest.mark.parametrize(("name", "key"), [("embedding.json", "files"), ("reward.json", "sha256")])
def test_provenance_belongs_to_the_weights(weights, name, key):
    """The hashes written beside the weights are those of the weights."""
    recorded = json.loads((weights / name).read_text())[key]
    files = recorded if isinstance(recorded, dict) else {"reward.safetensors": recorded}
    for file, digest in files.items():
        assert hashlib.sha256((weights / file).read_bytes()).hexdigest() == digest
