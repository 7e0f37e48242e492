"""A real server of OpenAI's API behind the proxy: llama.cpp's, with a model of random weights made on the spot.

What it answers is noise, so answers are compared with its own, asked for directly with the same seed. Skipped, visibly,
where `make test-clients` has not put it into `.venv/server`.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest

from monitor.bus.sqlite import SqliteBus
from monitor.contract import Exchange
from tests.proxy.processes import RunningProxy

HERE = Path(__file__).parent
PYTHON = HERE.parents[1] / ".venv" / "server" / "bin" / "python"
SAME = {"model": "random", "seed": 7, "temperature": 0.0}
ASKED = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Grüße 😀, wie geht's?"}]
# What differs from call to call, whoever asks.
FLEETING = {
    "id",
    "created",
    "created_at",
    "completed_at",
    "timings",
    "item_id",
    "prompt_tokens_details",
    "input_tokens_details",
}


class Server(NamedTuple):
    """The server, straight and through the proxy."""

    direct: openai.OpenAI
    through: openai.OpenAI
    proxy: RunningProxy

    @property
    def both(self) -> tuple[openai.OpenAI, openai.OpenAI]:
        """Return a client for each way."""
        return self.direct, self.through


@pytest.fixture(scope="module", params=("chat", "embeddings"))
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start the server, the proxy before it, and a client of each."""
    if not PYTHON.exists():
        pytest.skip("xllamacpp is not installed; `make test-clients` does")
    directory = tmp_path_factory.mktemp("server")
    command = [str(PYTHON), str(HERE / "programs" / "model_server.py"), str(directory), request.param]
    with (directory / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        assert process.stdout is not None
        base = process.stdout.readline().strip() + "/v1"
        assert base.startswith("http"), (directory / "stderr").read_text(errors="replace")[-2000:]
        with RunningProxy(directory, {"proxy": {"upstream": base}}) as proxy:
            direct, through = (
                openai.OpenAI(base_url=url, api_key="sk-x", max_retries=0, timeout=30.0)
                for url in (base, f"{proxy.base}/v1")
            )
            with direct, through:
                yield Server(direct, through, proxy)
    finally:
        process.communicate(timeout=20)


def only(kind: str) -> Callable[[Any], Any]:
    """Run a test with one kind of server only: the library serves either."""
    return pytest.mark.parametrize("server", [kind], indirect=True)


def lasting(answer: Any) -> Any:
    """Leave out what differs from call to call."""
    if isinstance(answer, dict):
        return {key: lasting(value) for key, value in answer.items() if key not in FLEETING}
    return [lasting(part) for part in answer] if isinstance(answer, list) else answer


def ask_chat(client: openai.OpenAI) -> Any:
    """Have a conversation answered."""
    return client.chat.completions.create(messages=ASKED, max_tokens=40, **SAME).model_dump()


def ask_stream(client: openai.OpenAI) -> Any:
    """Have it streamed, usage included."""
    options = {"include_usage": True}
    stream = client.chat.completions.create(
        messages=ASKED, max_tokens=40, stream=True, stream_options=options, **SAME
    )
    return [chunk.model_dump() for chunk in stream]


def ask_completion(client: openai.OpenAI) -> Any:
    """Have a text gone on with."""
    return client.completions.create(prompt="Once", max_tokens=20, logprobs=2, **SAME).model_dump()


def ask_responses(client: openai.OpenAI) -> Any:
    """Use the Responses API."""
    body = {"input": "Hallo", "max_output_tokens": 20, **SAME}
    return client.post("/responses", body=body, cast_to=object)


def ask_responses_stream(client: openai.OpenAI) -> Any:
    """Use it as a stream."""
    stream = client.responses.create(
        model="random",
        input="Hallo",
        max_output_tokens=8,
        stream=True,
        extra_body={"seed": 7, "temperature": 0.0},
    )
    return [event.model_dump(warnings=False) for event in stream]


def ask_models(client: openai.OpenAI) -> Any:
    """List the models."""
    return [model.id for model in client.models.list()]


@only("chat")
@pytest.mark.parametrize(
    "ask",
    [ask_chat, ask_stream, ask_completion, ask_responses, ask_responses_stream, ask_models],
    ids=lambda ask: ask.__name__,
)
def test_answers_are_the_servers_own(server: Server, ask: Callable[[openai.OpenAI], Any]) -> None:
    """Texts, pieces, usage, finish reasons and unknown fields are those of a direct call."""
    # The server's cache of prompts must be equally warm for both.
    ask(server.direct)
    direct, through = (lasting(ask(client)) for client in server.both)
    assert direct
    assert through == direct


@only("embeddings")
def test_embeddings_are_the_servers_own(server: Server) -> None:
    """Every number, in base64 as the client asks for them."""
    direct, through = (
        client.embeddings.create(model="random", input=["Grüße", "zwei"]).model_dump()
        for client in server.both
    )
    assert len(direct["data"][0]["embedding"]) > 8
    assert through == direct


@only("chat")
@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": 5},
        {"messages": [{"role": "user", "content": "word " * 3000}]},
        {"messages": ASKED, "max_tokens": 5, "response_format": {"type": "json_schema", "json_schema": 3}},
    ],
    ids=["no messages", "too long", "no schema"],
)
def test_errors_are_the_servers_own(server: Server, wrong: dict[str, Any]) -> None:
    """Status, words and fields of a refusal."""
    found = []
    for client in server.both:
        with pytest.raises(openai.APIStatusError) as caught:
            client.post("/chat/completions", body={"model": "random", **wrong}, cast_to=object)
        found.append((caught.value.status_code, caught.value.body))
    assert found[0][0] >= 400
    assert found[0] == found[1]


@only("chat")
def test_many_streams_at_once(server: Server) -> None:
    """Sixteen, of which the server runs four at a time: each is whole."""

    def one(_: int) -> list[Any]:
        return ask_stream(server.through)

    with ThreadPoolExecutor(16) as pool:
        streams = list(pool.map(one, range(16)))
    for chunks in streams:
        assert chunks[-1]["usage"]["completion_tokens"] == 40
        assert [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]][-1] == "length"


@only("chat")
def test_a_client_that_leaves_frees_the_server(server: Server) -> None:
    """More streams are left than the server has slots, and the next call is answered at once."""
    for _ in range(8):
        stream = server.through.chat.completions.create(messages=ASKED, max_tokens=400, stream=True, **SAME)
        next(iter(stream))
        stream.close()
    began = time.monotonic()
    assert ask_chat(server.through)["choices"]
    assert time.monotonic() - began < 5.0
    server.proxy.wait_for(lambda: server.proxy.status()["requests"]["in_flight"] == 0)


@only("chat")
def test_the_mirror_reads_what_a_real_server_says(server: Server) -> None:
    """Prompt, answer, tokens and reason of a whole and of a streamed answer are in the mirror."""
    whole, chunks = ask_chat(server.through), ask_stream(server.through)
    text = whole["choices"][0]["message"]["content"]
    streamed = "".join(choice["delta"]["content"] or "" for chunk in chunks for choice in chunk["choices"])
    server.proxy.wait_for(lambda: server.proxy.mirror()["pending"] == 0)
    bus = SqliteBus(server.proxy.directory / "state" / "bus.sqlite")
    try:
        found = [each for batch in bus.fetch("test", 10_000, time.time()) for each in batch.exchanges]
    finally:
        bus.close()

    def is_of(exchange: Exchange, *, stream: bool, response: str) -> bool:
        facts = (
            exchange.stream,
            exchange.response,
            exchange.prompt,
            exchange.response_tokens,
            exchange.finish_reason,
        )
        return exchange.complete and facts == (stream, response, ASKED[1]["content"], 40, "length")

    assert any(is_of(exchange, stream=False, response=text) for exchange in found)
    assert any(is_of(exchange, stream=True, response=streamed) for exchange in found)
    assert server.proxy.mirror()["malformed"] == 0
