"""Our own paths: who may ask, and what is said to those who may not."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from monitor.contract import Exemplar, Shift, Tier, Verdict
from monitor.contract.config import Secret, load_config
from monitor.contract.verdict import Annotator, Labels
from proxy.routing import arms, build_router
from proxy.status import Surroundings, own_app, own_routes
from proxy.verdicts import VerdictBoard

SAID, ANNOTATOR = "what a user said", "a.labeller"
TOLD = Verdict(
    route="default",
    arm="control",
    tier=Tier.MINOR,
    time=0.0,
    headline="default: minor",
    shifts=(
        Shift(
            kind="new_cluster",
            name="said",
            baseline=0.0,
            window=0.2,
            exemplars=(Exemplar(id="x", prompt=SAID),),
        ),
    ),
    labels=Labels(
        tier=Tier.OK,
        annotators=(Annotator(name=ANNOTATOR, against="gold", baseline=0.9, window=0.9, n=9, moved=False),),
    ),
)


def asking(directory: Path, token: Secret | None, *, in_full: bool = True) -> httpx.AsyncClient:
    """Return a client of our own paths."""
    config = load_config(None)
    verdicts = VerdictBoard(arms(build_router(config)), 60.0)
    verdicts.replace([TOLD])
    view = Surroundings(config, "0", directory, verdicts, lambda: True, lambda: 0.0, in_full)
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


@pytest.mark.parametrize("path", ["/-/status", "/-/drift", "/-/drift/default"])
async def test_clients_are_not_told_what_other_users_said(tmp_path: Path, path: str) -> None:
    """Without a token their listener has the judgement and no words, names or addresses; an operator's has all."""
    async with asking(tmp_path, None, in_full=False) as client:
        short = (await client.get(path)).text
    async with asking(tmp_path, None) as client:
        full = (await client.get(path)).text
    for told in (short, full):
        assert '"tier":"minor"' in told
        assert "default: minor" in told
    for word in (SAID, ANNOTATOR, *(["api.openai.com"] if path == "/-/status" else [])):
        assert word in full
        assert word not in short
