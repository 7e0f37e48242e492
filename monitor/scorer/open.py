"""From the configuration to a scorer."""

from __future__ import annotations

from pathlib import Path

import monitor
from monitor.contract.config import Config
from monitor.scorer import Scorer
from monitor.scorer.local import LocalScorer
from monitor.scorer.triton import TritonScorer

# The model repository that the distribution carries, beside this package.
SHIPPED = Path(monitor.__file__).resolve().parent.parent / "triton_models"


def model_repository(config: Config) -> Path:
    """Return the configured model repository, or the shipped one."""
    return Path(config.scoring.model_repository) if config.scoring.model_repository else SHIPPED


def open_scorer(config: Config) -> Scorer:
    """Open the configured scorer. Raises RepositoryFault (`kind: local`); a Triton server is asked on first use."""
    scoring = config.scoring
    if scoring.kind == "local":
        return LocalScorer(model_repository(config))
    url = scoring.url or f"127.0.0.1:{scoring.grpc_port}"
    return TritonScorer(url, scoring.deadline_s, scoring.batch)
