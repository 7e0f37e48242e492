"""Feedback over HTTP."""

from __future__ import annotations

import httpx
import pytest

from monitor.bus.memory import MemoryBus
from monitor.contract import LabelCause, Labels, Tier
from monitor.contract.config import Config, Secret
from monitor.service.app import build_app
from monitor.service.feedback import FeedbackDesk, Unwelcome, read_body
from monitor.service.health import Health
from monitor.service.status import StatusReader

TOKEN = {"authorization": "Bearer secret"}


@pytest.fixture
async def client(store):
    """Give a client of the monitor."""
    health = Health(started_at=0.0)
    reader = StatusReader(Config(), store, MemoryBus(), health, lambda: 100.0)
    desk = FeedbackDesk(store, ["default", "other"], lambda: 100.0)
    app = build_app(
        reader,
        health,
        lambda _: pytest.fail("no baseline is made here"),
        token=Secret("secret"),
        clock=lambda: 100.0,
        feedback=desk,
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://monitor") as client:
        yield client


async def post(client, body, kind="application/json", headers=TOKEN):
    """Post feedback; return status and document."""
    content = body if isinstance(body, bytes) else None
    answer = await client.post(
        "/-/feedback",
        content=content,
        json=None if content is not None else body,
        headers={**headers, "content-type": kind},
    )
    return answer.status_code, answer.json()


async def test_one_several_or_lines(client, store):
    """An object, a list and JSON Lines are taken; what was said before is not taken twice."""
    assert await post(client, {"exchange": "x1", "label": "good", "route": "default"}) == (
        202,
        {"accepted": 1, "repeated": 0, "unmatched": 1},
    )
    many = [{"exchange": f"x{i}", "score": i, "route": "default"} for i in (1, 2)]
    assert (await post(client, many))[1] == {"accepted": 1, "repeated": 1, "unmatched": 1}
    lines = b'{"exchange":"x3","label":true,"annotator":"a"}\n\n{"id":"x4","cell":"a>b"}\n'
    assert (await post(client, lines, "application/x-ndjson"))[1]["accepted"] == 2
    rows = store.database.rows("SELECT exchange, label, gold, state FROM feedback ORDER BY id")
    assert rows == [
        ("x1", "good", None, 1),
        ("x2", "2", None, 1),
        ("x3", "true", None, 0),
        ("x4", "b", "a", 0),
    ]
    status = (await client.get("/-/status")).json()
    assert status["unmatched_feedback"] == 2
    assert {"route": "default", "accepted": 2, "repeated": 1} in status["feedback"]


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b'{"exchange": 1', "application/json", "not JSON"),
        (b"7", "application/json", "expected an object"),
        (b'[{"exchange":"x","label":"a"},{"label":"a"}]', "application/json", "element 2: needs `exchange`"),
        (b'{"exchange":"x","label":"a"}\nnonsense', "application/jsonl", "line 2: not JSON"),
        (b'{"exchange":"x","label":"a"}\n{"exchange":"x"}', "application/jsonl", "line 2: needs `label`"),
        (
            b'{"exchange":"x","label":"a","route":"no"}',
            "application/json",
            "got 'no'; expected one of: default",
        ),
    ],
)
async def test_what_is_wrong_is_said_with_its_place(client, store, body, kind, words):
    """And then nothing of the body is taken."""
    status, document = await post(client, body, kind)
    assert status == 400
    assert words in document["error"]["message"]
    assert store.database.rows("SELECT count(*) FROM feedback") == [(0,)]


async def test_strangers_and_other_bodies_are_refused(client):
    """No token, another type, or more than is taken at once."""
    assert (await post(client, {"exchange": "x", "label": "a"}, headers={}))[0] == 401
    assert (await post(client, b"exchange=x", "application/x-www-form-urlencoded"))[0] == 415
    assert (await post(client, b" " * (8 * 1024 * 1024 + 1)))[0] == 413
    assert (await client.post("/-/labels/restart", json={"route": "default"})).status_code == 401


async def test_verdicts_on_labels_and_beginning_anew(client, store):
    """What was found, its changes, and accepting it."""
    store.labels.save("default", Labels(tier=Tier.MINOR, drifted=True, cause=LabelCause.GUIDELINE), 7.0)
    assert (await client.get("/-/labels")).status_code == 401  # it names people
    document = (await client.get("/-/labels", headers=TOKEN)).json()
    assert document["labels"]["default"]["verdict"]["cause"] == "guideline"
    assert document["labels"]["default"]["history"][0]["time"] == 7.0
    assert document["unmatched"] == 0
    done = await client.post("/-/labels/restart", json={"route": "default"}, headers=TOKEN)
    assert (done.status_code, done.json()) == (200, {"route": "default"})
    for body, status in (({"route": "nobody"}, 404), ({"rout": "default"}, 400)):
        assert (await client.post("/-/labels/restart", json=body, headers=TOKEN)).status_code == status
    other = await client.post("/-/labels/restart", content=b"route=x", headers=TOKEN)
    assert other.status_code == 415


def test_one_route_takes_feedback_that_names_none(store):
    """Nothing has to be known of the exchange then."""
    desk = FeedbackDesk(store, ["only"], lambda: 1.0)
    desk.take(read_body(b'{"exchange":"x","label":"a"}', lines=False))
    assert store.feedback.parked() == 0
    with pytest.raises(Unwelcome, match="2: route"):
        desk.take(
            read_body(b'[{"exchange":"y","label":"a"},{"exchange":"z","label":"a","route":"r"}]', lines=False)
        )
