"""One connection to an upstream: what is an answer, where it ends, and when the connection may serve again."""

from __future__ import annotations

import asyncio

import pytest

from proxy.transport.http1_connection import HIGH_WATER
from tests.proxy.transport.test_http1_client import asking, fault_of, upstream, whole
from tests.proxy.wire import answer, read_message

OK = b"HTTP/1.1 200 OK\r\n"


class Script:
    """Answers each request with the next bytes of a list and counts its connections."""

    def __init__(self, *answers: bytes, then_close: bool = False) -> None:
        self._answers = list(answers)
        self._then_close = then_close
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection."""
        self.connections += 1
        while True:
            await read_message(reader)
            writer.write(self._answers.pop(0))
            await writer.drain()
            if self._then_close:
                return


@pytest.mark.parametrize(
    ("method", "raw", "body"),
    [
        ("GET", answer(b"plain"), b"plain"),
        ("GET", OK + b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", b"abc"),
        (
            "GET",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + answer(b"final"),
            b"final",
        ),
        ("HEAD", OK + b"content-length: 500\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n", b""),
    ],
    ids=["length", "chunks", "interim", "head", "204", "304"],
)
async def test_answers_that_leave_the_connection_usable(method: str, raw: bytes, body: bytes) -> None:
    """However an answer is framed, its body is read, interim answers are nobody's, and the next request follows."""
    script = Script(raw, answer(b"next"))
    async with upstream(script) as (transport, url):
        reply = await transport.open(asking(url, method, None))
        assert b"link" not in dict(reply.headers)
        assert await whole(reply) == body
        assert await whole(await transport.open(asking(url))) == b"next"
    assert script.connections == 1


@pytest.mark.parametrize(
    "raw",
    [
        answer(b"ok", b"connection: close"),
        answer(b"ok") + b"leftover",
        answer(b"ok") + answer(b"evil"),
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ],
    ids=["says close", "leftover", "second answer", "http/1.0"],
)
async def test_answers_after_which_a_connection_is_given_up(raw: bytes) -> None:
    """It said so, or it sent more than was asked: the answer counts, the connection does not serve again."""
    script = Script(raw, answer(b"next"))
    async with upstream(script) as (transport, url):
        assert await whole(await transport.open(asking(url))) == b"ok"
        assert await whole(await transport.open(asking(url))) == b"next"
    assert script.connections == 2


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (OK + b"content-length: 9\r\n\r\nhalf", "upstream_reset"),
        (OK + b"transfer-encoding: chunked\r\n\r\n9\r\nhalf", "upstream_reset"),
        (OK + b"content-len", "upstream_reset"),
        (b"", "upstream_reset"),
        (b"SSH-2.0-OpenSSH\r\n", "upstream_garbage"),
        (OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab", "upstream_garbage"),
        (OK + b"transfer-encoding: chunked\r\n\r\nzz\r\n", "upstream_garbage"),
        (OK + b"x: " + b"y" * 300_000, "upstream_garbage"),
    ],
)
async def test_ends_that_are_faults(raw: bytes, code: str) -> None:
    """A body cut short, a head cut short, and what is no HTTP."""
    async with upstream(Script(raw, then_close=True)) as (transport, url):
        assert await fault_of(transport, asking(url)) == code


async def test_a_body_that_ends_with_the_connection() -> None:
    """Without a length the upstream's closing is the proper end."""
    async with upstream(Script(OK + b"\r\nall of it", then_close=True)) as (transport, url):
        assert await whole(await transport.open(asking(url))) == b"all of it"


async def test_silence_is_a_timeout_and_a_drip_is_none() -> None:
    """The clock starts anew with every byte: 0.6 s of drips pass where 0.3 s of silence do not."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(OK + b"content-length: 7\r\n\r\n")
        for _ in range(6):
            await asyncio.sleep(0.1)
            writer.write(b".")
        await reader.read()

    async with upstream(drip) as (transport, url):
        reply, got = await transport.open(asking(url)), b""
        while len(got) < 6:
            got += await reply.read()
        await reply.close()
        assert await fault_of(transport, asking(url)) == "upstream_timeout"


async def test_what_is_not_read_is_bounded() -> None:
    """A reader that stops leaves its upstream waiting, and gets every byte once it goes on."""
    body, stuck = bytes(range(256)) * 80_000, asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(answer(body))
        try:
            await asyncio.wait_for(writer.drain(), 0.3)
        except TimeoutError:
            stuck.set()
        await writer.drain()

    async with upstream(serve) as (transport, url):
        reply = await transport.open(asking(url))
        await asyncio.wait_for(stuck.wait(), 2)
        assert len(first := await reply.read()) < 4 * HIGH_WATER
        assert first + await whole(reply) == body
