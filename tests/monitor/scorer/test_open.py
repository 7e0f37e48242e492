"""From the configuration to a scorer."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.contract.config import Config, Scoring
from monitor.scorer.local import LocalScorer, RepositoryFault
from monitor.scorer.open import SHIPPED, model_repository, open_scorer
from monitor.scorer.triton import TritonScorer


def test_local_runs_the_shipped_models():
    """`kind: local` opens the models that the distribution carries."""
    scorer = open_scorer(Config(scoring=Scoring(kind="local")))
    assert isinstance(scorer, LocalScorer)
    assert scorer.identity.startswith("static-256:")


def test_a_configured_repository_is_used():
    """A repository that is none is a fault that names it."""
    config = Config(scoring=Scoring(kind="local", model_repository="/nowhere/models"))
    assert model_repository(config) == Path("/nowhere/models")
    assert model_repository(Config()) == SHIPPED
    with pytest.raises(RepositoryFault, match="/nowhere/models"):
        open_scorer(config)


def test_triton_is_asked_on_first_use_only():
    """Opening a Triton scorer needs no server."""
    scorer = open_scorer(Config())
    assert isinstance(scorer, TritonScorer)
    scorer.close()
