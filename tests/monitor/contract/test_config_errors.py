"""What is wrong is said without repeating a secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from monitor.contract.config import ConfigError, load_config

SECRET = "open-sesame"


@pytest.mark.parametrize(
    "file",
    [
        {"admin": {"token": SECRET}},
        {"admin": {"tokne": SECRET}},
        {"routes": [{"variant": {"api_key": SECRET}}]},
        {"routes": {"variant": {"api_key": SECRET}}},
        {"proxy": {"upstream": f"http://me:{SECRET}@127.0.0.1:1/v1"}},
        {"proxy": {"upstream": f"http://{SECRET}@127.0.0.1:x/v1"}},
        {"proxy": {"upstream": f"me:{SECRET}@127.0.0.1/v1"}},
        {"proxy": {"upstream": f"http://127.0.0.1/v1?key={SECRET}"}},
        {"proxy": {"upstream": [f"http://me:{SECRET}@127.0.0.1:1/v1"]}},
    ],
)
def test_a_wrong_configuration_does_not_show_its_secrets(tmp_path: Path, file: dict[str, Any]):
    """A secret written where it does not belong is refused in one line and not repeated."""
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(file))
    with pytest.raises(ConfigError) as refused:
        load_config(path)
    assert SECRET not in str(refused.value)
    assert "\n" not in str(refused.value)
