"""The demo's configuration is one that a user could have written."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.contract.config import load_config
from monitor.demo.processes import BASELINE_SIZE, write_config


@pytest.mark.parametrize("local", [False, True])
def test_the_configuration_loads(tmp_path: Path, *, local: bool):
    """On free ports, with a route for each model, in a directory of its own."""
    upstreams = {"support": "http://127.0.0.1:1/v1", "shop": "http://127.0.0.1:2/v1"}
    config = load_config(write_config(tmp_path, upstreams, local=local))
    assert {route.name: route.variant.upstream for route in config.routes} == upstreams
    assert config.scoring.kind == ("local" if local else "triton")
    assert config.baseline.size == BASELINE_SIZE
    assert Path(config.state_dir).parent == tmp_path
