"""The monitor over HTTP."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from monitor.bus import BusError
from monitor.bus.memory import MemoryBus
from monitor.contract import Exemplar, Labels, Shift, Signal, Tier, Verdict
from monitor.contract.config import Config, Secret
from monitor.service.app import CreateBaseline, build_app
from monitor.service.health import Health
from monitor.service.status import StatusReader

TOKEN = {"authorization": "Bearer secret"}


class Served:
    """An application over a store and a bus in memory, and its client."""

    def __init__(self, store) -> None:
        self.bus, self.health, self.store, self.now = MemoryBus(), Health(started_at=0.0), store, 100.0
        reader = StatusReader(Config(), store, self.bus, self.health, lambda: self.now)
        app = build_app(reader, self.health, self.create, token=Secret("secret"), clock=lambda: self.now)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://monitor")
        self.asked: list[CreateBaseline] = []

    def create(self, wanted: CreateBaseline):
        """Stand in for the making of a baseline."""
        self.asked.append(wanted)
        if wanted.route == "nobody":
            raise ValueError("the bus holds no exchange of route 'nobody' in that period")
        return self.store.baselines.listed()[0]


@pytest.fixture
async def served(store):
    """Give the application."""
    served = Served(store)
    yield served
    await served.client.aclose()


async def test_alive_and_ready(served):
    """Ready after the first evaluation; alive as long as the loop turns."""
    assert (await served.client.get("/-/livez")).status_code == 200
    assert (await served.client.get("/-/readyz")).status_code == 503
    served.health.evaluated_at = served.health.turned_at = 50.0
    assert (await served.client.get("/-/readyz")).status_code == 200
    served.now = 500.0
    assert (await served.client.get("/-/livez")).status_code == 503


async def test_verdicts_and_history(served, store):
    """All verdicts, those of a route with its history, and 404 for a route nobody knows."""
    verdict = Verdict(route="a/b", arm="control", tier=Tier.MINOR, time=3.0)
    store.verdicts.save(verdict)
    served.bus.put_verdicts([verdict])
    everything = (await served.client.get("/-/drift")).json()
    assert [v["tier"] for v in everything["verdicts"]] == ["minor"]
    one = (await served.client.get("/-/drift/a/b")).json()
    assert [v["time"] for v in one["history"]] == [3.0]
    missing = await served.client.get("/-/drift/x")
    assert (missing.status_code, missing.json()) == (404, {"error": {"message": "no verdict for route 'x'"}})


async def test_texts_and_names_need_the_token(served, store):
    """Numbers are for everybody; what quotes users or names labellers is not, in status, verdicts and history alike."""
    quoted = Shift(
        kind="new_cluster",
        name="words",
        baseline=0.0,
        window=0.2,
        terms=("words",),
        exemplars=(Exemplar(id="x", prompt="a user's own words", response="an answer"),),
    )
    labels = Labels(tier=Tier.OK, headline="labels: anna moved")
    verdict = Verdict(
        route="r", arm="control", tier=Tier.MINOR, time=3.0, n={"window": 9}, shifts=(quoted,), labels=labels
    )
    store.verdicts.save(verdict)
    served.bus.put_verdicts([verdict])
    for path in ("/-/status", "/-/drift", "/-/drift/r"):
        for headers, told in (({}, False), ({"authorization": "Bearer wrong"}, False), (TOKEN, True)):
            answer = await served.client.get(path, headers=headers)
            assert answer.status_code == 200
            assert answer.json()["verdicts"][0]["n"] == {"window": 9}
            for words in ("own words", "an answer", "anna"):
                assert (words in answer.text) is told, (path, headers, words)


async def test_status_and_metrics(served):
    """The document and the metrics tell the same."""
    signal = Signal(value=0.25, tier=Tier.OK)
    served.bus.put_verdicts(
        [
            Verdict(
                route="r",
                arm="control",
                tier=Tier.CRITICAL,
                time=3.0,
                drifted=True,
                signals={"reward": signal},
            )
        ]
    )
    status = (await served.client.get("/-/status")).json()
    assert status["verdicts"][0]["tier"] == "critical"
    answer = await served.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    for line in (
        'driftgate_tier{arm="control",route="r",tier="critical"} 1.0',
        'driftgate_tier{arm="control",route="r",tier="ok"} 0.0',
        'driftgate_drifted{arm="control",route="r"} 1.0',
        'driftgate_signal{arm="control",route="r",signal="reward"} 0.25',
        "driftgate_bus_published_total 0.0",
    ):
        assert line in answer.text


async def test_changing_state_needs_the_token(served, store, baseline):
    """Without the token, with another one, or from a plain web form nothing changes."""
    store.baselines.add(baseline, "one")
    store.baselines.add(replace(baseline, id="second"), "two")
    body = {"route": "default", "id": baseline.id}
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "secret"}):
        assert (await served.client.post("/-/baselines/use", json=body, headers=headers)).status_code == 401
    form = await served.client.post("/-/baselines/use", data=body, headers=TOKEN)
    assert form.status_code == 415
    assert store.baselines.active() == {"default": "second"}
    answer = await served.client.post("/-/baselines/use", json=body, headers=TOKEN)
    assert answer.json() == {"route": "default", "baseline": baseline.id}
    assert store.baselines.active() == {"default": baseline.id}
    listed = (await served.client.get("/-/baselines")).json()["baselines"]
    assert [(row["id"], row["active"]) for row in listed] == [(baseline.id, True), ("second", False)]


async def test_making_a_baseline(served, store, baseline):
    """A period is asked for by route and time; what cannot be made says why."""
    store.baselines.add(baseline, "one")
    body = {"route": "default", "since": 1.0, "until": 2.0}
    made = await served.client.post("/-/baselines", json=body, headers=TOKEN)
    assert (made.status_code, made.json()["baseline"]["id"]) == (201, baseline.id)
    assert served.asked == [CreateBaseline("default", 1.0, 2.0)]
    nothing = await served.client.post("/-/baselines", json={**body, "route": "nobody"}, headers=TOKEN)
    assert nothing.status_code == 422
    assert "no exchange" in nothing.json()["error"]["message"]


async def test_wrong_requests_are_told_what_is_wrong(served):
    """Bad JSON, unknown keys, unknown baselines, unknown paths: an error in one shape each."""
    for path, body, status in (
        ("/-/baselines", b"{", 400),
        ("/-/baselines", b'{"route": "a", "since": 1, "until": 2, "x": 3}', 400),
        ("/-/baselines/use", b'{"route": "a", "id": "b"}', 404),
        ("/-/nothing", b"{}", 404),
    ):
        answer = await served.client.post(
            path, content=body, headers={**TOKEN, "content-type": "application/json"}
        )
        assert answer.status_code == status
        assert answer.json()["error"]["message"]


async def test_a_bus_that_fails_is_unavailable(served):
    """Status says 503 and why, not a traceback."""

    def fail():
        raise BusError("bus.sqlite: database is locked")

    served.bus.verdicts = fail
    answer = await served.client.get("/-/drift")
    assert (answer.status_code, answer.json()["error"]["message"]) == (503, "bus.sqlite: database is locked")
