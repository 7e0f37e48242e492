"""Scoring in this process with the repository's own files."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from monitor.scorer.local import LocalScorer, RepositoryFault, read_parameters
from monitor.scorer.open import SHIPPED


@pytest.fixture(scope="module")
def scorer():
    """Load the shipped models once."""
    return LocalScorer(SHIPPED)


def test_rows_keep_the_contract(scorer):
    """Unit rows where there is text, zero rows and NaN where there is none, float32 throughout."""
    scores = scorer.score(["What is rain?", "Hi", ""], ["Falling water.", None, ""])
    np.testing.assert_allclose(np.linalg.norm(scores.prompt, axis=1), [1, 1, 0], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(scores.response, axis=1), [1, 0, 0], atol=1e-5)
    assert np.isnan(scores.reward).tolist() == [False, True, False]
    assert {array.dtype for array in scores[:3]} == {np.dtype(np.float32)}
    assert scores.errors == {}


def test_one_refused_exchange_fails_alone(scorer):
    """A text beyond the limit is its exchange's error; its rows are zero and NaN."""
    scores = scorer.score(["a", "x" * (17 * 1024 * 1024)], ["b", "c"])
    assert list(scores.errors) == [1]
    assert not scores.prompt[1].any()
    assert np.isnan(scores.reward[1])
    assert np.isfinite(scores.reward[0])


def test_no_exchanges_need_no_rows(scorer):
    """Scoring nothing returns empty arrays of the right width."""
    assert scorer.score([], []).response.shape == (0, 256)


def test_identity_follows_the_weights(scorer, tmp_path):
    """The same files elsewhere have the same identity; other weights are refused or have another."""
    copy = tmp_path / "models"
    shutil.copytree(SHIPPED, copy)
    assert LocalScorer(copy).identity == scorer.identity


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: (path / "exchange_scorer" / "config.pbtxt").unlink(), "is this a model repository"),
        (lambda path: shutil.rmtree(path / "exchange_scorer" / "1" / "scoring"), "scoring is missing"),
        (lambda path: (path / "exchange_scorer/1/weights/vocabulary.txt").unlink(), "vocabulary.txt"),
        (
            lambda path: (path / "exchange_scorer" / "config.pbtxt").write_text(
                'parameters { key: "family" value { string_value: "magic" } }'
            ),
            "`family` is 'magic'",
        ),
        (
            lambda path: (path / "exchange_scorer" / "config.pbtxt").write_text("garbage {{{"),
            "is this a model configuration",
        ),
        (
            lambda path: (path / "exchange_scorer/1/scoring/models.py").write_text("def ("),
            "SyntaxError: invalid syntax",
        ),
        (
            lambda path: (path / "exchange_scorer/1/scoring/__init__.py").write_text("raise KeyError('x')"),
            "KeyError: 'x'",
        ),
        (lambda path: (path / "exchange_scorer/1/scoring/__init__.py").write_text(""), "has no open_models"),
    ],
)
def test_a_repository_that_does_not_load_is_one_line(tmp_path, change, message):
    """What is missing or wrong is named, with the repository."""
    copy = tmp_path / "models"
    shutil.copytree(SHIPPED, copy)
    change(copy)
    with pytest.raises(RepositoryFault, match=message) as fault:
        LocalScorer(copy)
    assert "\n" not in str(fault.value)
    assert str(copy) in str(fault.value)


def test_parameters_are_read_as_triton_reads_them(tmp_path):
    """Comments are skipped, the backend's own keys (capitals) too, and either way of writing a value is read."""
    path = tmp_path / "config.pbtxt"
    path.write_text(
        '# parameters { key: "family" value { string_value: "no" } }\n'
        'parameters { key: "family" value { string_value: "static" } }\n'
        'parameters: { key: "max_tokens", value: { string_value: "64" } }\n'
        'parameters { key: "EXECUTION_ENV_PATH" value { string_value: "/x" } }\n'
    )
    assert read_parameters(path) == {"family": "static", "max_tokens": "64"}
