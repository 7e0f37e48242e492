"""LlamaIndex's `OpenAI`, `OpenAIResponses` and `OpenAIEmbedding`."""

from __future__ import annotations

from asyncio import Event
from typing import Any

import openai
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAI, OpenAIResponses
from program import EMBEDDER, KEY, MODEL, cancelled, refused, run, streamed
from pydantic import BaseModel


class Weather(BaseModel):
    """What the model is asked to fill in."""

    city: str
    celsius: int


def get_weather(city: str) -> str:
    """Weather of a city."""
    return "21"


TOOL = FunctionTool.from_defaults(fn=get_weather)


def model(base: str, retries: int = 0) -> OpenAI:
    """Return a chat model."""
    return OpenAI(model=MODEL, api_base=base, api_key=KEY, max_retries=retries)


def said(text: str) -> list[ChatMessage]:
    """Return a chat of one message."""
    return [ChatMessage(role="user", content=text)]


def chat(base: str) -> Any:
    """Ask once."""
    return {"text": model(base).chat(said("hello")).message.content}


def stream(base: str) -> Any:
    """Read a stream."""
    return streamed(piece.delta for piece in model(base).stream_chat(said("hello")))


def tools(base: str) -> Any:
    """Be called back, answer, read the last word."""
    asking, messages = model(base), said("weather")
    first = asking.chat_with_tools([TOOL], chat_history=messages)
    call = asking.get_tool_calls_from_response(first)[0]
    result = TOOL(**call.tool_kwargs)
    told = ChatMessage(role="tool", content=str(result), additional_kwargs={"tool_call_id": call.tool_id})
    last = asking.chat_with_tools([TOOL], chat_history=[*messages, first.message, told])
    return {"name": call.tool_name, "arguments": call.tool_kwargs, "text": last.message.content}


def stream_tools(base: str) -> Any:
    """Gather a call; the last piece holds it whole."""
    asking = model(base)
    *_, whole = asking.stream_chat_with_tools([TOOL], chat_history=said("weather"))
    call = asking.get_tool_calls_from_response(whole)[0]
    return {"name": call.tool_name, "arguments": call.tool_kwargs}


def structured(base: str) -> Any:
    """Have a model filled in."""
    return model(base).structured_predict(Weather, PromptTemplate("weather")).model_dump()


def embeddings(base: str) -> Any:
    """Embed two texts."""
    embedder = OpenAIEmbedding(model=EMBEDDER, api_base=base, api_key=KEY, max_retries=0)
    return embedder.get_text_embedding_batch(["one", "two"])


def busy(base: str) -> Any:
    """Be refused for now."""
    try:
        model(base).chat(said("busy"))
    except openai.RateLimitError as error:
        return refused(error)


def patience(base: str) -> Any:
    """Be refused once and wait as told."""
    return {"text": model(base, 2).chat(said("busy once")).message.content}


def wrong(base: str) -> Any:
    """Be refused for good."""
    try:
        model(base).chat(said("wrong"))
    except openai.BadRequestError as error:
        return refused(error)


def cancel(base: str) -> Any:
    """Cancel the task that reads an endless stream.

    A generator that is closed instead leaves the connection to Python's garbage collector, with or without a proxy.
    """

    async def read(read_some: Event) -> None:
        async for _ in await model(base).astream_chat(said("endless")):
            read_some.set()

    return cancelled(read)


def responses(base: str) -> Any:
    """Ask once by the Responses API."""
    asking = OpenAIResponses(model=MODEL, api_base=base, api_key=KEY, max_retries=0)
    return {"text": asking.chat(said("hello")).message.content}


def responses_stream(base: str) -> Any:
    """Read a stream of the Responses API."""
    asking = OpenAIResponses(model=MODEL, api_base=base, api_key=KEY, max_retries=0)
    return streamed(piece.delta for piece in asking.stream_chat(said("hello")))


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
