"""Seeds are run alike by one process and by several."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.detection.pools import Data
from benchmarks.detection.seeds import seeds

TABLES = "def table(name):\n    return [{'id': i, 'table': name} for i in range(5)]\n"


def drawn(data: Data, seed: int) -> list[int]:
    """Draw of a table, as a seed does."""
    rows = data.rows("any", lambda row: row["id"] != 2)
    return [int(rows[i]["id"]) for i in np.random.default_rng(seed).permutation(len(rows))]


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """Lay out a folder of data."""
    (tmp_path / "scenarios.jsonl").write_text("")
    (tmp_path / "scen.py").write_text(TABLES)
    return Data(tmp_path, tmp_path / "cache")


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_order_whoever_finds_them(data: Data, jobs: int):
    """What is found for each task depends on the task alone."""
    with seeds(data, jobs) as run:
        found = list(run.over(drawn, range(6)))
    assert found == [drawn(data, seed) for seed in range(6)]
    assert len({tuple(each) for each in found}) > 1
