"""The one place that chooses transports: what it makes, and what it warns of."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from monitor.contract.config import load_config
from proxy.transport.open import KNOWN_GAPS, open_transports


@pytest.mark.parametrize("name", ["http1", "aiohttp", "httpx"])
async def test_a_transport_with_gaps_says_so_at_the_start(name: str) -> None:
    """One warning with every gap; none for those that have none."""
    with capture_logs() as logs:
        transports = open_transports(load_config(None, {"proxy.transport": name}))
    for transport in transports.values():
        await transport.close()
    warned = [(line["log_level"], line["transport"], line["gaps"]) for line in logs if "gaps" in line]
    assert warned == ([("warning", name, KNOWN_GAPS[name])] if name in KNOWN_GAPS else [])
