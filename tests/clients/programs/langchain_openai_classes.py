"""LangChain's `ChatOpenAI` and `OpenAIEmbeddings`."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import openai
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from program import EMBEDDER, KEY, MODEL, refused, run, streamed
from pydantic import BaseModel


class Weather(BaseModel):
    """What the model is asked to fill in."""

    city: str
    celsius: int


@tool
def get_weather(city: str) -> str:
    """Weather of a city."""
    return "21"


def model(base: str, **options: Any) -> ChatOpenAI:
    """Return a chat model."""
    return ChatOpenAI(model=MODEL, base_url=base, api_key=KEY, **({"max_retries": 0} | options))


def chat(base: str) -> Any:
    """Ask once."""
    return {"text": model(base).invoke("hello").content}


def stream(base: str) -> Any:
    """Read a stream."""
    return streamed(piece.content for piece in model(base).stream("hello"))


def tools(base: str) -> Any:
    """Be called back, answer, read the last word."""
    asking, messages = model(base).bind_tools([get_weather]), [HumanMessage("weather")]
    first = asking.invoke(messages)
    call = first.tool_calls[0]
    result = ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])
    last = asking.invoke([*messages, first, result])
    return {"name": call["name"], "arguments": call["args"], "text": last.content}


def stream_tools(base: str) -> Any:
    """Gather a call by adding the pieces up."""
    pieces = list(model(base).bind_tools([get_weather]).stream("weather"))
    whole = sum(pieces[1:], pieces[0])
    return {"name": whole.tool_calls[0]["name"], "arguments": whole.tool_calls[0]["args"]}


def structured(base: str) -> Any:
    """Have a model filled in."""
    return model(base).with_structured_output(Weather).invoke("weather").model_dump()


def embeddings(base: str) -> Any:
    """Embed two texts as text: counting tokens first would fetch a vocabulary."""
    embedder = OpenAIEmbeddings(
        model=EMBEDDER, base_url=base, api_key=KEY, max_retries=0, check_embedding_ctx_length=False
    )
    return embedder.embed_documents(["one", "two"])


def busy(base: str) -> Any:
    """Be refused for now."""
    try:
        model(base).invoke("busy")
    except openai.RateLimitError as error:
        return refused(error)


def patience(base: str) -> Any:
    """Be refused once and wait as told."""
    return {"text": model(base, max_retries=2).invoke("busy once").content}


def wrong(base: str) -> Any:
    """Be refused for good."""
    try:
        model(base).invoke("wrong")
    except openai.BadRequestError as error:
        return refused(error)


def cancel(base: str) -> Any:
    """Leave in the middle of a stream, staying alive."""
    with closing(model(base).stream("endless")) as pieces:
        for _, _piece in zip(range(4), pieces, strict=False):
            pass
        left_at = time.time()
    return {"left_at": left_at}


def responses(base: str) -> Any:
    """Ask once by the Responses API."""
    return {"text": model(base, use_responses_api=True).invoke("hello").text}


def responses_stream(base: str) -> Any:
    """Read a stream of the Responses API."""
    return streamed(piece.text for piece in model(base, use_responses_api=True).stream("hello"))


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
