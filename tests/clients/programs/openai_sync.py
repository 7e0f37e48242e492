"""The official Python client, synchronous."""

from __future__ import annotations

import json
import time
from typing import Any

import openai
from program import CITY_TOOL, EMBEDDER, KEY, MODEL, refused, run, streamed
from pydantic import BaseModel

TOOLS = [{"type": "function", "function": CITY_TOOL}]
FLAT_TOOLS = [{"type": "function", **CITY_TOOL}]


class Weather(BaseModel):
    """What the model is asked to fill in."""

    city: str
    celsius: int


def client(base: str, retries: int = 0) -> openai.OpenAI:
    """Return a client; only the base URL is not the default."""
    return openai.OpenAI(base_url=base, api_key=KEY, max_retries=retries)


def said(text: str) -> list[Any]:
    """Return a chat of one message."""
    return [{"role": "user", "content": text}]


def chat(base: str) -> Any:
    """Ask once."""
    answer = client(base).chat.completions.create(model=MODEL, messages=said("hello"))
    return {"text": answer.choices[0].message.content}


def stream(base: str) -> Any:
    """Read a stream."""
    events = client(base).chat.completions.create(model=MODEL, messages=said("hello"), stream=True)
    return streamed(event.choices[0].delta.content for event in events)


def tools(base: str) -> Any:
    """Be called back, answer, read the last word."""
    asking, messages = client(base).chat.completions, said("weather")
    first = asking.create(model=MODEL, messages=messages, tools=TOOLS).choices[0].message
    call = first.tool_calls[0]
    messages += [first, {"role": "tool", "tool_call_id": call.id, "content": "21"}]
    last = asking.create(model=MODEL, messages=messages, tools=TOOLS).choices[0].message
    return {
        "name": call.function.name,
        "arguments": json.loads(call.function.arguments),
        "text": last.content,
    }


def stream_tools(base: str) -> Any:
    """Gather a call from its pieces, as the client's own helper does."""
    with client(base).chat.completions.stream(model=MODEL, messages=said("weather"), tools=TOOLS) as events:
        call = events.get_final_completion().choices[0].message.tool_calls[0]
    return {"name": call.function.name, "arguments": json.loads(call.function.arguments)}


def structured(base: str) -> Any:
    """Have a model filled in."""
    found = client(base).chat.completions.parse(
        model=MODEL, messages=said("weather"), response_format=Weather
    )
    return found.choices[0].message.parsed.model_dump()


def embeddings(base: str) -> Any:
    """Embed two texts; the client asks for base64."""
    found = client(base).embeddings.create(model=EMBEDDER, input=["one", "two"])
    return [item.embedding for item in found.data]


def busy(base: str) -> Any:
    """Be refused for now."""
    try:
        client(base).chat.completions.create(model=MODEL, messages=said("busy"))
    except openai.RateLimitError as error:
        return refused(error)


def patience(base: str) -> Any:
    """Be refused once and wait as told."""
    answer = client(base, retries=2).chat.completions.create(model=MODEL, messages=said("busy once"))
    return {"text": answer.choices[0].message.content}


def wrong(base: str) -> Any:
    """Be refused for good."""
    try:
        client(base).chat.completions.create(model=MODEL, messages=said("wrong"))
    except openai.BadRequestError as error:
        return refused(error)


def cancel(base: str) -> Any:
    """Leave in the middle of a stream, staying alive."""
    with client(base).chat.completions.create(model=MODEL, messages=said("endless"), stream=True) as events:
        for _, _event in zip(range(4), events, strict=False):
            pass
        left_at = time.time()
    return {"left_at": left_at}


def responses(base: str) -> Any:
    """Ask once by the Responses API."""
    return {"text": client(base).responses.create(model=MODEL, input="hello").output_text}


def responses_stream(base: str) -> Any:
    """Read a stream of the Responses API."""
    events = client(base).responses.create(model=MODEL, input="hello", stream=True)
    return streamed(event.delta for event in events if event.type == "response.output_text.delta")


def responses_tools(base: str) -> Any:
    """Be called back by the Responses API, answer, read the last word."""
    items: list[Any] = said("weather")
    first = client(base).responses.create(model=MODEL, input=items, tools=FLAT_TOOLS)
    call = first.output[0]
    items += [*first.output, {"type": "function_call_output", "call_id": call.call_id, "output": "21"}]
    last = client(base).responses.create(model=MODEL, input=items, tools=FLAT_TOOLS)
    return {"name": call.name, "arguments": json.loads(call.arguments), "text": last.output_text}


if __name__ == "__main__":
    run(
        {
            feature.__name__: feature
            for feature in (
                chat, stream, tools, stream_tools, structured, embeddings, busy, patience, wrong, cancel,
                responses, responses_stream, responses_tools,
            )
        }
    )  # fmt: skip
