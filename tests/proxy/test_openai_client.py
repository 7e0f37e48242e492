"""The official client, with only its base URL changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import openai
import pytest

from monitor.bus.open import open_bus
from monitor.contract import Exchange
from monitor.contract.config import load_config
from tests.proxy.conftest import Model
from tests.proxy.processes import RunningProxy

Serve = Callable[[type[BaseHTTPRequestHandler]], str]
USER = [{"role": "user", "content": "hello"}]


@pytest.fixture
def proxy(tmp_path: Path, serve: Serve) -> Iterator[RunningProxy]:
    """Run the proxy before a model."""
    with RunningProxy(tmp_path, {"proxy": {"upstream": serve(Model) + "/v1"}}) as running:
        yield running


def mirrored(proxy: RunningProxy, n: int) -> list[Exchange]:
    """Wait for n exchanges on the bus and return them, the oldest first."""
    proxy.wait_for(lambda: proxy.mirror()["mirrored"] == n)
    bus = open_bus(load_config(proxy.directory / "config.yaml"))
    found = [exchange for batch in bus.fetch("test", 100, 0.0, 0.0) for exchange in batch.exchanges]
    bus.close()
    return sorted(found, key=lambda exchange: exchange.id)


def test_everything_a_client_does(proxy: RunningProxy) -> None:
    """Chat, stream, tools, embeddings, models and errors work; what is text arrives on the bus."""
    with openai.OpenAI(base_url=proxy.base + "/v1", api_key="sk-test", max_retries=0) as client:
        chat = client.chat.completions.create(model="m", messages=USER)  # type: ignore[arg-type]
        assert chat.choices[0].message.content == "Hello world"
        stream = client.chat.completions.create(model="m", messages=USER, stream=True)  # type: ignore[call-overload]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "Hello world"
        tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
        called = client.chat.completions.create(model="m", messages=USER, tools=[tool])  # type: ignore[call-overload]
        assert called.choices[0].message.tool_calls[0].function.name == "f"
        assert client.embeddings.create(model="m", input="x", encoding_format="float").data[0].embedding == [
            0.5,
            0.25,
        ]
        assert [model.id for model in client.models.list()] == ["m"]
        raw = client.chat.completions.with_raw_response.create(model="m", messages=USER)  # type: ignore[arg-type]
        assert raw.headers["drift-status"].startswith("learning;")
    with openai.OpenAI(base_url=proxy.base + "/v1", api_key="wrong", max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError) as caught:
            stranger.chat.completions.create(model="m", messages=USER)  # type: ignore[arg-type]
        assert caught.value.code == "invalid_api_key"
        assert caught.value.response.headers["drift-exchange"]
    found = mirrored(proxy, 5)
    assert [exchange.response for exchange in found] == [
        "Hello world",
        "Hello world",
        "",
        "Hello world",
        None,
    ]
    assert [exchange.stream for exchange in found] == [False, True, False, False, False]
    assert found[2].tool_calls == ("f({})",)
    assert found[4].error == "invalid_api_key"
    assert len({exchange.user for exchange in found}) == 2


def test_a_dead_upstream_is_told_apart_from_an_upstreams_error(tmp_path: Path, free_port: int) -> None:
    """The client raises its server error with our code in it."""
    config = {"proxy": {"upstream": f"http://127.0.0.1:{free_port}/v1"}}
    with (
        RunningProxy(tmp_path, config) as proxy,
        openai.OpenAI(base_url=proxy.base + "/v1", api_key="k", max_retries=0) as client,
    ):
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(model="m", messages=USER)  # type: ignore[arg-type]
        assert (caught.value.status_code, caught.value.code) == (502, "upstream_refused")
