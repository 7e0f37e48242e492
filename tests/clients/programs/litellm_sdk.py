"""LiteLLM's Python SDK, as people call an OpenAI-compatible server with it: `openai/NAME` and `api_base`."""

from __future__ import annotations

import json
import time
from typing import Any

import litellm
from program import CITY_TOOL, EMBEDDER, KEY, MODEL, WEATHER_SCHEMA, refused, run, streamed

TOOLS = [{"type": "function", "function": CITY_TOOL}]
NAME = f"openai/{MODEL}"
SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "weather", "schema": WEATHER_SCHEMA, "strict": True},
}


def ask(base: str, text: str, **options: Any) -> Any:
    """Call `completion`."""
    messages = options.pop("messages", [{"role": "user", "content": text}])
    options = {"max_retries": 0} | options
    return litellm.completion(model=NAME, api_base=base, api_key=KEY, messages=messages, **options)


def chat(base: str) -> Any:
    """Ask once."""
    return {"text": ask(base, "hello").choices[0].message.content}


def stream(base: str) -> Any:
    """Read a stream."""
    return streamed(event.choices[0].delta.content for event in ask(base, "hello", stream=True))


def tools(base: str) -> Any:
    """Be called back, answer, read the last word."""
    messages: list[Any] = [{"role": "user", "content": "weather"}]
    first = ask(base, "", messages=messages, tools=TOOLS).choices[0].message
    call = first.tool_calls[0]
    messages += [first, {"role": "tool", "tool_call_id": call.id, "content": "21"}]
    last = ask(base, "", messages=messages, tools=TOOLS).choices[0].message.content
    return {"name": call.function.name, "arguments": json.loads(call.function.arguments), "text": last}


def stream_tools(base: str) -> Any:
    """Gather a call from its pieces by the SDK's own builder."""
    whole = litellm.stream_chunk_builder(list(ask(base, "weather", tools=TOOLS, stream=True)))
    call = whole.choices[0].message.tool_calls[0]
    return {"name": call.function.name, "arguments": json.loads(call.function.arguments)}


def structured(base: str) -> Any:
    """Have a schema filled in."""
    return json.loads(ask(base, "weather", response_format=SCHEMA).choices[0].message.content)


def embeddings(base: str) -> Any:
    """Embed two texts."""
    found = litellm.embedding(
        model=f"openai/{EMBEDDER}", api_base=base, api_key=KEY, input=["one", "two"], max_retries=0
    )
    return [item["embedding"] for item in found.data]


def busy(base: str) -> Any:
    """Be refused for now."""
    try:
        ask(base, "busy")
    except litellm.RateLimitError as error:
        return refused(error)


def patience(base: str) -> Any:
    """Be refused once and wait as told."""
    return {"text": ask(base, "busy once", max_retries=2).choices[0].message.content}


def wrong(base: str) -> Any:
    """Be refused for good."""
    try:
        ask(base, "wrong")
    except litellm.BadRequestError as error:
        return refused(error)


def cancel(base: str) -> Any:
    """Leave in the middle of a stream, staying alive."""
    events = ask(base, "endless", stream=True)
    for _, _event in zip(range(4), events, strict=False):
        pass
    left_at = time.time()
    events.completion_stream.close()
    return {"left_at": left_at}


def responses(base: str) -> Any:
    """Ask once by the Responses API."""
    found = litellm.responses(model=NAME, api_base=base, api_key=KEY, input="hello", max_retries=0)
    return {"text": found.output[0].content[0].text}


def responses_stream(base: str) -> Any:
    """Read a stream of the Responses API."""
    events = litellm.responses(
        model=NAME, api_base=base, api_key=KEY, input="hello", stream=True, max_retries=0
    )
    return streamed(event.delta for event in events if event.type == "response.output_text.delta")


if __name__ == "__main__":
    run(
        {
            feature.__name__: feature
            for feature in (
                chat, stream, tools, stream_tools, structured, embeddings, busy, patience, wrong, cancel,
                responses, responses_stream,
            )
        }
    )  # fmt: skip
