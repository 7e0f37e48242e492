"""The review queue from folded exchanges to a person's judgement, over HTTP and the command line."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import httpx
import numpy as np
import pytest
import uvicorn

from monitor.bus.memory import MemoryBus
from monitor.cli import build_app as build_cli
from monitor.contract import Tier, Verdict
from monitor.contract.command import run_app
from monitor.contract.config import Config, Secret
from monitor.service.app import build_app
from monitor.service.folding import make_work
from monitor.service.health import Health
from monitor.service.references import Reference
from monitor.service.review import ReviewDesk
from monitor.service.scoring import Judged
from monitor.service.status import StatusReader
from monitor.store import open_store
from tests.monitor.synthetic import World

TOKEN = {"authorization": "Bearer secret"}


def fill(store, reference, per_hour=5, verdicts=None):
    """Fold an hour of traffic in three lots, with one answer turned away from its prompt in each."""
    store.baselines.add(reference, "test")
    for lot in range(3):
        stream = World(rate=30.0, start=60.0 * 20 * lot).make(300, seed=70 + lot)
        response = stream.response.copy()
        response[7] = -response[7]
        judged = Judged(stream._replace(response=response), reference.scorer, {})
        work = make_work(
            judged,
            {"default": Reference(reference.id, reference)},
            reviews_per_hour=per_hour,
            verdicts=verdicts or {},
        )
        store.ledger.commit(work._replace(bus="b", batch_ids=[lot], lease_until=1e12), lambda: 1.0)


def application(store, token=None):
    """Return the monitor's pages over a store."""
    reader = StatusReader(Config(), store, MemoryBus(), Health(started_at=0.0), lambda: 100.0)
    desk = ReviewDesk(store, lambda: 123.0)
    return build_app(
        reader, Health(started_at=0.0), lambda _: None, token=token, clock=lambda: 100.0, desk=desk
    )


@pytest.fixture
async def client(store, reference):
    """Give a client of pages with a queue."""
    fill(store, reference)
    app = application(store, Secret("secret"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://monitor") as client:
        yield client


def test_an_hour_of_folded_traffic_leaves_its_few(store, reference):
    """Three lots of one hour leave five items in the order of their p-values, with reasons and weights."""
    fill(store, reference)
    items = store.reviews.listed()
    assert len(items) == 5
    assert [item.p_value for item in items] == sorted(item.p_value for item in items)
    assert all(item.reasons and item.times >= 1.0 and item.prompt and item.response for item in items)
    ((seen,),) = store.database.rows("SELECT seen FROM review_hours")
    assert seen == 900
    assert 100 < sum(item.times for item in items) < 9000


def test_no_queue_where_none_is_wanted(store, reference):
    """With `review.per_hour: 0` nothing is kept."""
    fill(store, reference, per_hour=0)
    assert store.reviews.listed(state="") == []


def test_a_verdict_draws_its_part_of_the_traffic(store, reference):
    """While a verdict is minor, exchanges of its cluster are drawn more often than before."""
    from monitor.contract import Shift  # noqa: PLC0415 - only here

    terms = reference.prompt.terms[0]
    shift = Shift(kind="prompt_cluster", name="n", baseline=0.1, window=0.3, terms=terms)
    verdict = Verdict(
        route="default", arm="control", tier=Tier.MINOR, time=1.0, baseline=reference.id, shifts=(shift,)
    )
    fill(store, reference, per_hour=60, verdicts={("default", "control"): verdict})
    stream = [World(rate=30.0, start=60.0 * 20 * lot).make(300, seed=70 + lot) for lot in range(3)]
    about = {
        e.id
        for lot in stream
        for e, k in zip(lot.exchanges, reference.prompt.quantiser.assign(lot.prompt).cluster, strict=True)
        if reference.prompt.terms[k] == terms
    }
    drawn = [item.exchange in about for item in store.reviews.listed(limit=100)]
    assert np.mean(drawn) > 1.5 * len(about) / 900


async def test_texts_need_the_token(client):
    """Unlike verdicts, items hold what users wrote: without the token they are neither read nor judged."""
    for answer in (
        await client.get("/-/review"),
        await client.get("/-/review/e1"),
        await client.post("/-/review/e1", json={"outcome": "ok", "by": "ann"}),
    ):
        assert answer.status_code == 401


async def test_judging_over_http(client):
    """List, show, judge: who, when and why are kept, and the list tells what share is bad."""
    listed = (await client.get("/-/review", headers=TOKEN)).json()
    assert len(listed["items"]) == 5
    assert listed["quality"] == []
    item = listed["items"][0]
    shown = (await client.get(f"/-/review/{item['id']}", headers=TOKEN)).json()["item"]
    assert shown == item
    said = {"outcome": "bad", "by": "ann", "note": "wrong"}
    judged = (await client.post(f"/-/review/{item['id']}", headers=TOKEN, json=said)).json()["item"]
    assert (judged["state"], judged["outcome"], judged["by"], judged["note"]) == (
        "resolved",
        "bad",
        "ann",
        "wrong",
    )
    assert judged["resolved_at"] == 123.0
    assert len((await client.get("/-/review", headers=TOKEN)).json()["items"]) == 4
    done = (await client.get("/-/review?state=resolved&limit=9", headers=TOKEN)).json()
    assert [each["id"] for each in done["items"]] == [item["id"]]
    assert done["quality"][0]["share"] == 1.0
    assert done["quality"][0]["low"] > 0.0


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/-/review/nothing", {"outcome": "ok", "by": "ann"}, 404),
        ("/-/review/nothing", {"outcome": "fine", "by": "ann"}, 400),
        ("/-/review/nothing", {"outcome": "ok", "by": " "}, 400),
        ("/-/review/nothing", {"outcome": "ok", "by": "ann", "more": 1}, 400),
    ],
)
async def test_what_cannot_be_judged_is_refused(client, path, body, status):
    """Unknown items, outcomes and keys are refused with a sentence."""
    answer = await client.post(path, headers=TOKEN, json=body)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


async def test_a_judgement_is_a_label_only_where_asked(client, store):
    """Reviews are no even sample, so they become labels only on request; `unsure` never does."""
    ids = [item["id"] for item in (await client.get("/-/review", headers=TOKEN)).json()["items"]]
    for item_id, outcome, asked in zip(ids, ("bad", "bad", "unsure"), (False, True, True), strict=False):
        said = {"outcome": outcome, "by": "ann", "feedback": asked}
        assert (await client.post(f"/-/review/{item_id}", headers=TOKEN, json=said)).status_code == 200
    rows = store.database.rows("SELECT exchange, annotator, label, route FROM feedback")
    assert rows == [(store.reviews.get(ids[1]).exchange, "ann", "bad", "default")]


async def test_bad_questions_are_refused(client):
    """A wrong state or limit, an unknown item, a body that is no JSON by its type."""
    for query in ("state=old", "limit=0", "limit=x", "limit=5000"):
        assert (await client.get(f"/-/review?{query}", headers=TOKEN)).status_code == 400
    assert (await client.get("/-/review/nothing", headers=TOKEN)).status_code == 404
    assert (await client.post("/-/review/x", headers=TOKEN, content=b"{}")).status_code == 415


@contextmanager
def serving(folder, reference) -> Iterator[str]:
    """Serve the queue on a port of its own."""
    with closing(open_store(folder / "served.sqlite")) as store:
        fill(store, reference)
        app = application(store)
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
        listener = uvicorn.Config(app, port=0, log_config=None).bind_socket()
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        deadline = time.monotonic() + 20.0
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
            listener.close()


def test_the_command_line(tmp_path, reference, capsys):
    """List, show and resolve as tables and as JSON, with exit statuses that scripts can use."""

    def run(*arguments):
        status = run_app(build_cli(), ["review", *arguments])
        return status, capsys.readouterr()

    with serving(tmp_path, reference) as url:
        status, said = run("list", "--url", url, "--json")
        items = json.loads(said.out)["items"]
        assert (status, len(items)) == (0, 5)
        assert items[0]["id"] in run("list", "--url", url)[1].out
        status, said = run("show", items[0]["id"], "--url", url)
        assert status == 0
        assert items[0]["reasons"][0] in said.out
        assert "stands for" in said.out
        status, said = run("resolve", items[0]["id"], "bad", "--by", "ann", "--note", "why", "--url", url)
        assert (status, said.out) == (0, f"{items[0]['id']}: bad, judged by ann\n")
        assert "from 1 judged" in run("list", "--state", "all", "--url", url)[1].out
        assert run("show", items[0]["id"], "--url", url, "--json")[1].out.count('"by":"ann"') == 1
        for wrong in (("show", "nothing"), ("resolve", "nothing", "ok"), ("resolve", items[0]["id"], "fine")):
            status, said = run(*wrong, "--url", url)
            assert status == 2
            assert said.err.count("\n") == 1
        assert run("list", "--state", "old", "--url", url)[0] == 2
    status, said = run("list", "--url", url)
    assert status == 3
    assert "does not answer" in said.err
    assert run("list", "--url", "monitor:1")[0] == 3
