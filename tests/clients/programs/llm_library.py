"""Simon Willison's `llm`, configured as its documentation says: a line in `extra-openai-models.yaml`.

Its OpenAI embedding models take no base URL of their own, so the environment of the official client below it names one.
"""

from __future__ import annotations

import json
import os
import tempfile
from asyncio import Event
from pathlib import Path
from typing import Any

import llm
import openai
import yaml
from program import EMBEDDER, KEY, MODEL, WEATHER_SCHEMA, cancelled, refused, run, streamed

HOME = tempfile.TemporaryDirectory()
os.environ |= {"LLM_USER_PATH": HOME.name, "OPENAI_API_KEY": KEY}


def model(base: str, *, responses: bool = False) -> Any:
    """Register the model that is served at a base URL, and get it."""
    entry = {
        "model_id": "mine",
        "model_name": MODEL,
        "api_base": base,
        "supports_schema": True,
        "supports_tools": True,
        "responses": responses,
    }
    Path(HOME.name, "extra-openai-models.yaml").write_text(yaml.safe_dump([entry]))
    return llm.get_model("mine")


def get_weather(city: str) -> str:
    """Weather of a city."""
    return "21"


def chat(base: str) -> Any:
    """Ask once."""
    return {"text": model(base).prompt("hello", stream=False).text()}


def stream(base: str) -> Any:
    """Read a stream."""
    return streamed(model(base).prompt("hello", stream=True))


def _tools(base: str, *, stream: bool) -> Any:
    calls: list[Any] = []

    def note(tool: Any, call: Any, result: Any) -> None:
        calls.append(call)

    chain = model(base).conversation().chain("weather", tools=[get_weather], after_call=note, stream=stream)
    text = chain.text()
    return {"name": calls[0].name, "arguments": calls[0].arguments, "text": text}


def tools(base: str) -> Any:
    """Be called back, answer, read the last word: one chain of `llm`."""
    return _tools(base, stream=False)


def stream_tools(base: str) -> Any:
    """Be called back in a stream."""
    found = _tools(base, stream=True)
    return {"name": found["name"], "arguments": found["arguments"]}


def structured(base: str) -> Any:
    """Have a schema filled in."""
    return json.loads(model(base).prompt("weather", schema=WEATHER_SCHEMA).text())


def embeddings(base: str) -> Any:
    """Embed two texts."""
    os.environ["OPENAI_BASE_URL"] = base
    return list(llm.get_embedding_model(EMBEDDER).embed_multi(["one", "two"]))


def wrong(base: str) -> Any:
    """Be refused for good."""
    try:
        model(base).prompt("wrong").text()
    except openai.BadRequestError as error:
        return refused(error)


def patience(base: str) -> Any:
    """Be refused once and wait as told."""
    return {"text": model(base).prompt("busy once", stream=False).text()}


def cancel(base: str) -> Any:
    """Cancel the task that reads an endless stream.

    A generator that is closed instead leaves the connection to Python's garbage collector, with or without a proxy.
    """
    model(base)

    async def read(read_some: Event) -> None:
        async for _ in llm.get_async_model("mine").prompt("endless", stream=True):
            read_some.set()

    return cancelled(read)


def responses(base: str) -> Any:
    """Ask once by the Responses API."""
    return {"text": model(base, responses=True).prompt("hello", stream=False).text()}


def responses_stream(base: str) -> Any:
    """Read a stream of the Responses API."""
    return streamed(model(base, responses=True).prompt("hello", stream=True))


if __name__ == "__main__":
    run(
        {
            feature.__name__: feature
            for feature in (
                chat, stream, tools, stream_tools, structured, embeddings, patience, wrong, cancel,
                responses, responses_stream,
            )
        }
    )  # fmt: skip
