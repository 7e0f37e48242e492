"""Our own paths: who may ask, and what is said to those who may not."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from monitor.contract.config import Secret, load_config
from proxy.routing import arms, build_router
from proxy.status import Surroundings, own_app, own_routes
from proxy.verdicts import VerdictBoard


def asking(directory: Path, token: Secret | None) -> httpx.AsyncClient:
    """Return a client of our own paths."""
    config = load_config(None)
    verdicts = VerdictBoard(arms(build_router(config)), 60.0)
    view = Surroundings(config, "0", directory, verdicts, lambda: True, lambda: 0.0)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=own_app(own_routes(view), token)), base_url="http://admin"
    )


@pytest.mark.parametrize("path", ["/-/status", "/-/drift", "/-/drift/default", "/-/nothing"])
async def test_a_token_guards_what_is_said(tmp_path: Path, path: str) -> None:
    """Verdicts quote prompts, so everything but the probes needs the configured token."""
    async with asking(tmp_path, Secret("sesame")) as client:
        for given in ({}, {"authorization": "Bearer wrong"}, {"authorization": "sesame"}):
            refused = await client.get(path, headers=given)
            assert refused.status_code == 401
            assert refused.json()["error"]["code"] == "token_needed"
            assert "sesame" not in refused.text
        told = await client.get(path, headers={"authorization": "Bearer sesame"})
        assert told.status_code == (404 if path == "/-/nothing" else 200)


async def test_probes_need_no_token(tmp_path: Path) -> None:
    """A load balancer that cannot be told a secret can still ask whether we live."""
    async with asking(tmp_path, Secret("sesame")) as client:
        assert [(await client.get(f"/-/{name}")).status_code for name in ("livez", "readyz")] == [200, 200]


async def test_without_a_token_everybody_may_ask(tmp_path: Path) -> None:
    """The default listens on loopback only."""
    async with asking(tmp_path, None) as client:
        assert (await client.get("/-/status")).json()["version"] == "0"
