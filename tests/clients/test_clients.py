"""Real clients, with only the base URL changed: what they get, and what the model sees, is as without a proxy.

Every feature runs twice, straight to the scripted model and through the proxy: the first shows that the test is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.clients.openai_answers import AFTER_TOOL, BUSY, TEXT, VECTORS, WEATHER, WRONG
from tests.clients.programs import CLIENTS, FEATURES, Client, Program
from tests.clients.upstream import Upstream
from tests.proxy.processes import RunningProxy
from tests.proxy.wire import until

GONE_WITHIN_S = 1.0
Programs = Callable[[Client], Program]
Ask = Callable[..., Any]


@pytest.fixture(params=CLIENTS, ids=lambda client: client.name)
def client(request: pytest.FixtureRequest) -> Client:
    """Run for each client."""
    return request.param


@pytest.fixture(params=("direct", "proxy"))
def ask(
    request: pytest.FixtureRequest,
    client: Client,
    program: Programs,
    bases: dict[str, str],
    upstream: Upstream,
) -> Iterator[Ask]:
    """Return how to have a feature used, straight and through the proxy."""
    running = program(client)

    def use(feature: str, heard: Callable[[], None] = lambda: None) -> Any:
        if feature in client.lacks:
            pytest.skip(client.lacks[feature])
        return running.ask(feature, bases[request.param], heard)

    return use


@pytest.mark.parametrize("feature", ["chat", "responses"])
def test_whole_answers(ask: Ask, feature: str):
    """Text arrives, every character of it."""
    assert ask(feature)["text"] == TEXT


@pytest.mark.parametrize("feature", ["stream", "responses_stream"])
def test_streams(ask: Ask, upstream: Upstream, feature: str):
    """Text arrives whole, in pieces, and the first while the model still holds back the second half."""
    upstream.heard.clear()
    found = ask(feature, upstream.heard.set)
    assert found["text"] == TEXT
    assert found["pieces"] > 3
    assert upstream.seen[-1].heard


@pytest.mark.parametrize("feature", ["tools", "responses_tools"])
def test_tools(ask: Ask, upstream: Upstream, feature: str):
    """A call arrives, its result goes back, the last word arrives."""
    assert ask(feature) == {"name": "get_weather", "arguments": {"city": "Paris"}, "text": AFTER_TOOL}
    assert len(upstream.seen) == 2


def test_tools_from_a_stream(ask: Ask, upstream: Upstream):
    """A call is gathered from its pieces."""
    assert ask("stream_tools") == {"name": "get_weather", "arguments": {"city": "Paris"}}
    assert upstream.seen[0].document["stream"] is True


def test_structured_output(ask: Ask, upstream: Upstream):
    """A schema goes out and comes back filled in."""
    assert ask("structured") == WEATHER
    form = upstream.seen[0].document["response_format"]
    assert set(form["json_schema"]["schema"]["properties"]) == set(WEATHER)


def test_embeddings(ask: Ask):
    """Vectors arrive exactly, as numbers or in base64."""
    assert ask("embeddings") == [list(vector) for vector in VECTORS]


def test_a_refusal_for_now(ask: Ask, upstream: Upstream):
    """The client raises its error for 429, with the model's code and waiting time."""
    found = ask("busy")
    assert (found["status"], found["retry_after"]) == (429, "7")
    assert BUSY.document["error"]["message"] in found["message"]
    assert len(upstream.seen) == 1


def test_waiting_as_told(ask: Ask, upstream: Upstream):
    """The client tries again after `retry-after`, 1 s, and no sooner."""
    assert ask("patience")["text"] == TEXT
    first, second = upstream.seen
    assert second.at - first.at >= 0.95


def test_a_refusal_for_good(ask: Ask, upstream: Upstream):
    """The client raises its error for 400, with the model's code and words, and does not try again."""
    found = ask("wrong")
    assert found["status"] == 400
    assert WRONG.document["error"]["message"] in found["message"]
    assert found["code"] in {WRONG.document["error"]["code"], None}
    assert len(upstream.seen) == 1


async def test_leaving_in_the_middle(ask: Ask, upstream: Upstream):
    """The model sees within a second that the client of an endless stream has left."""
    left_at = ask("cancel")["left_at"]
    seen = upstream.seen[-1]
    await until(lambda: seen.closed > 0.0)
    assert -0.2 < seen.closed - left_at < GONE_WITHIN_S


@pytest.mark.parametrize("feature", ["chat", "stream", "tools", "structured", "embeddings", "responses"])
def test_the_model_sees_the_same(
    client: Client, program: Programs, bases: dict[str, str], upstream: Upstream, feature: str
):
    """What a client sends arrives as it does without a proxy: line, headers in their order, and body."""
    if feature in client.lacks:
        pytest.skip(client.lacks[feature])
    running, requests = program(client), []
    for base in bases.values():
        upstream.forget()
        running.ask(feature, base)
        requests.append([seen.request() for seen in upstream.seen])
    assert requests[0] == requests[1]


def test_every_feature_is_tested():
    """Each client's program is asked for everything that the table promises."""
    tested = {"chat", "responses", "stream", "responses_stream", "tools", "responses_tools", "stream_tools"}
    tested |= {"structured", "embeddings", "busy", "patience", "wrong", "cancel"}
    assert tested == set(FEATURES)
    assert {feature for client in CLIENTS for feature in client.lacks} <= tested


def test_nothing_is_lost(proxy: RunningProxy):
    """After all of it each exchange is mirrored and readable, but embeddings, which are no text to judge."""
    if all(client.missing() for client in CLIENTS):
        pytest.skip(CLIENTS[0].missing())

    def settled() -> bool:
        mirror = proxy.mirror()
        return mirror["pending"] == 0 and mirror["received"] > 0

    assert proxy.wait_for(settled)
    mirror = proxy.mirror()
    dropped = {reason for reason, count in mirror["dropped"].items() if count}
    assert mirror["received"] == mirror["mirrored"] + sum(mirror["dropped"].values())
    assert dropped <= {"endpoint"}
    assert mirror["malformed"] == 0
