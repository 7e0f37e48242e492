"""The official Python client, asynchronous; cancellation is a cancelled task."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import openai
from program import EMBEDDER, KEY, MODEL, Feature, cancelled, refused, run, say


def client(base: str, retries: int = 0) -> openai.AsyncOpenAI:
    """Return a client; only the base URL is not the default."""
    return openai.AsyncOpenAI(base_url=base, api_key=KEY, max_retries=retries)


def said(text: str) -> list[Any]:
    """Return a chat of one message."""
    return [{"role": "user", "content": text}]


async def chat(base: str) -> Any:
    """Ask once."""
    answer = await client(base).chat.completions.create(model=MODEL, messages=said("hello"))
    return {"text": answer.choices[0].message.content}


async def stream(base: str) -> Any:
    """Read a stream."""
    asking, words = client(base).chat.completions, []
    async for event in await asking.create(model=MODEL, messages=said("hello"), stream=True):
        if piece := event.choices[0].delta.content:
            if not words:
                say({"heard": True})
            words.append(piece)
    return {"text": "".join(words), "pieces": len(words)}


async def embeddings(base: str) -> Any:
    """Embed two texts; the client asks for base64."""
    found = await client(base).embeddings.create(model=EMBEDDER, input=["one", "two"])
    return [item.embedding for item in found.data]


async def busy(base: str) -> Any:
    """Be refused for now."""
    try:
        await client(base).chat.completions.create(model=MODEL, messages=said("busy"))
    except openai.RateLimitError as error:
        return refused(error)


async def patience(base: str) -> Any:
    """Be refused once and wait as told."""
    answer = await client(base, 2).chat.completions.create(model=MODEL, messages=said("busy once"))
    return {"text": answer.choices[0].message.content}


async def wrong(base: str) -> Any:
    """Be refused for good."""
    try:
        await client(base).chat.completions.create(model=MODEL, messages=said("wrong"))
    except openai.BadRequestError as error:
        return refused(error)


def cancel(base: str) -> Any:
    """Cancel the task that reads an endless stream."""

    async def read(read_some: asyncio.Event) -> None:
        asking = client(base).chat.completions
        async for _ in await asking.create(model=MODEL, messages=said("endless"), stream=True):
            read_some.set()

    return cancelled(read)


async def responses(base: str) -> Any:
    """Ask once by the Responses API."""
    return {"text": (await client(base).responses.create(model=MODEL, input="hello")).output_text}


def blocking(feature: Callable[[str], Awaitable[Any]]) -> Feature:
    """Run a feature on a loop of its own."""

    async def whole(base: str) -> Any:
        return await feature(base)

    return lambda base: asyncio.run(whole(base))


if __name__ == "__main__":
    features = (chat, stream, embeddings, busy, patience, wrong, responses)
    run({"cancel": cancel} | {feature.__name__: blocking(feature) for feature in features})
