"""uvicorn as we set it up: what it frames, refuses and keeps."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.proxy.conftest import Start
from tests.proxy.wire import answer, post, read_message


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01 hello\r\n\r\n",
        b"GET http://other/ HTTP/1.1\r\nhost: other\r\n\r\n",
        b"CONNECT other:443 HTTP/1.1\r\nhost: other:443\r\n\r\n",
    ],
    ids=["garbage", "absolute_form", "connect"],
)
async def test_what_is_not_ours_to_forward_is_refused(stand: Start, request_bytes: bytes) -> None:
    """Garbage and absolute-form targets get a 400 that OpenAI's clients can read."""

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise AssertionError("nothing is to be forwarded")

    async with stand(upstream) as running:
        got = await running.ask(request_bytes)
    assert got.line.startswith(b"HTTP/1.1 400")
    assert json.loads(got.body)["error"]["code"] == "malformed_request"
    assert got.values(b"connection") == [b"close"]


async def test_the_target_is_kept_as_it_came(stand: Start) -> None:
    """A bare question mark, empty segments and escapes reach the upstream."""
    lines = []

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            lines.append((await read_message(reader)).line.split()[1])
            writer.write(answer(b"{}"))

    targets = [b"/v1/files?", b"/v1//a%2fb/?x=&&", b"/other?"]
    async with stand(upstream) as running:
        for target in targets:
            await running.ask(b"GET " + target + b" HTTP/1.1\r\nhost: p\r\n\r\n")
    assert lines == targets


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
async def test_http_1_0_clients_get_no_chunks(stand: Start, cut: bool) -> None:  # noqa: FBT001 - a table of cases
    """A body of unknown length ends with the connection: FIN at its end, RST when it was cut short."""

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await asyncio.sleep(0.05)
        if not cut:
            writer.write(b"0\r\n\r\n")

    async with stand(upstream) as running:
        reader, writer = await running.connect()
        writer.write(post(b"{}").replace(b"HTTP/1.1", b"HTTP/1.0"))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 2)
        assert b"transfer-encoding" not in head
        assert b"connection: close" in head
        assert await asyncio.wait_for(reader.readexactly(5), 2) == b"hello"
        if cut:
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(reader.read(), 2)
        else:
            assert await asyncio.wait_for(reader.read(), 2) == b""
        writer.close()
