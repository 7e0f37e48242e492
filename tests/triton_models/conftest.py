"""The models' mathematics is imported as Triton does it: from the version folder that holds it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from monitor.scorer.open import SHIPPED

VERSION = SHIPPED / "exchange_scorer" / "1"
sys.path.insert(0, str(VERSION))


@pytest.fixture(scope="session")
def weights() -> Path:
    """Return the folder of the shipped weights."""
    return VERSION / "weights"


@pytest.fixture(scope="session")
def models(weights):
    """Open the shipped models once."""
    from scoring import open_models  # noqa: PLC0415 - the path is set above

    return open_models({}, weights)
