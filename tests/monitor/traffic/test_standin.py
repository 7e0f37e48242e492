"""The stand-in speaks HTTP/1.1 well enough for the official client and for a hurried one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import openai
import pytest

from monitor.traffic.openai_shapes import FINGERPRINT, Answer, Answers
from monitor.traffic.standin import StandIn


@asynccontextmanager
async def serving(answers: Answers) -> AsyncIterator[tuple[StandIn, str]]:
    """Serve a stand-in on a free port."""
    server = StandIn(answers)
    base_url = await server.start("127.0.0.1", 0)
    try:
        yield server, base_url
    finally:
        await server.stop()


async def test_the_official_client_understands_it():
    """Chat, a stream, embeddings, models and an error."""
    async with serving(lambda prompt: Answer(f"you said {prompt}") if prompt != "?" else None) as (
        server,
        base_url,
    ):
        async with openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
            hello = [{"role": "user", "content": "hello"}]
            whole = await client.chat.completions.create(model="m", messages=hello)
            assert whole.choices[0].message.content == "you said hello"
            assert whole.system_fingerprint == FINGERPRINT
            stream = await client.chat.completions.create(model="m", messages=hello, stream=True)
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
            assert "".join(pieces) == "you said hello"
            assert (
                len((await client.embeddings.create(model="m", input="x", encoding_format="float")).data) == 1
            )
            assert [model.id async for model in client.models.list()]
            with pytest.raises(openai.NotFoundError, match="no_recorded_answer"):
                await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])
        assert server.received == server.answered == 5


async def test_requests_in_small_pieces_and_one_after_the_other():
    """A request may come byte by byte, and the next one behind it on the same connection."""
    body = b'{"messages": [{"role": "user", "content": "x"}]}'
    request = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )
    async with serving(lambda _prompt: Answer("y")) as (server, base_url):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(base_url.split(":")[2].split("/")[0]))
        for byte in request:
            writer.write(bytes([byte]))
            await writer.drain()
        writer.write(request)
        for _ in range(2):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            assert b'"content":"y"' in await reader.readexactly(length)
        writer.write(b"nonsense\r\n\r\n")
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 400")
        writer.close()
        await writer.wait_closed()
        assert server.answered == 3


async def test_a_slow_answer_waits_and_a_client_that_leaves_is_forgotten():
    """The delay is kept; nothing is written to whoever is gone."""
    async with serving(lambda prompt: Answer("z", delay_s=0.05 if prompt == "soon" else 30.0)) as (
        server,
        base_url,
    ):
        url = f"{base_url}/chat/completions"
        async with aiohttp.ClientSession() as session:
            began = asyncio.get_running_loop().time()
            async with session.post(url, json={"messages": [{"role": "user", "content": "soon"}]}) as answer:
                assert answer.status == 200
            assert asyncio.get_running_loop().time() - began >= 0.05
            leaving = asyncio.create_task(
                session.post(url, json={"messages": [{"role": "user", "content": "later"}]})
            )
            async with asyncio.timeout(10):
                while server.received < 2:  # noqa: ASYNC110 the server has no event for it
                    await asyncio.sleep(0.01)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
        assert server.answered == 1
