"""What arrives on a client's connection: limits, refusals, trailers, upgrades that will not be, and odd splits."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.proxy.conftest import Start
from tests.proxy.wire import Asked, Handler, answer, post, read_message, until

SMALL = {
    "proxy__limits__body_bytes": 1000,
    "proxy__limits__head_bytes": 2000,
    "proxy__limits__header_count": 10,
    "proxy__limits__target_bytes": 300,
}
HEAD = b"POST /v1/x HTTP/1.1\r\nhost: p\r\n"
GET = b"GET /v1/next HTTP/1.1\r\nhost: p\r\n\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"


class Upstream:
    """Answers whole requests and notes them, and whether one ended before it was whole."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.cut = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection."""
        while True:
            try:
                self.asked.append(await read_message(reader))
            except asyncio.IncompleteReadError as error:
                if error.partial or error.expected != len(b"\r\n\r\n"):
                    self.cut.set()
                raise
            writer.write(answer(b"ok"))


async def nobody(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be an upstream that must not be asked."""
    raise AssertionError("nothing is to be forwarded")


def refused(got: Asked, status: int, code: str) -> None:
    """Assert a refusal in OpenAI's shape that ends its connection."""
    assert got.line.startswith(b"HTTP/1.1 %d " % status)
    error = json.loads(got.body)["error"]
    assert (error["code"], error["type"], error["param"]) == (code, "invalid_request_error", None)
    assert got.values(b"drift-error") == [code.encode()]
    assert got.values(b"connection") == [b"close"]


TOO_MUCH = {
    "target": (b"GET /" + b"x" * 300 + b" HTTP/1.1\r\nhost: p\r\n\r\n", 414, "target_too_long"),
    "query": (b"GET /?" + b"x" * 300 + b" HTTP/1.1\r\nhost: p\r\n\r\n", 414, "target_too_long"),
    "headers": (HEAD + b"x: y\r\n" * 10 + b"\r\n", 431, "too_many_headers"),
    "value": (HEAD + b"x: " + b"y" * 2000 + b"\r\n\r\n", 431, "head_too_large"),
    "name": (HEAD + b"y" * 2000 + b": x\r\n\r\n", 431, "head_too_large"),
    "endless_head": (HEAD + b"x: " + b"y" * 100_000, 431, "head_too_large"),
    "endless_line": (b"GET /" + b"x" * 100_000, 414, "target_too_long"),
    "handshake": (
        HEAD.replace(b"POST", b"GET")
        + b"connection: upgrade\r\nupgrade: websocket\r\nx: "
        + b"y" * 2000
        + b"\r\n\r\n",
        431,
        "head_too_large",
    ),
}


@pytest.mark.parametrize("kind", TOO_MUCH)
@pytest.mark.parametrize("step", [60_000, 97], ids=["at_once", "in_pieces"])
async def test_heads_beyond_a_limit(stand: Start, kind: str, step: int) -> None:
    """Each limit has its status and code, however the head arrives; it is counted, and nothing is forwarded."""
    request, status, code = TOO_MUCH[kind]
    async with stand(nobody, **SMALL) as running:
        reader, writer = await running.connect()
        for at in range(0, len(request), step):
            writer.write(request[at : at + step])
            await asyncio.sleep(0)
        refused(await asyncio.wait_for(read_message(reader), 2), status, code)
        assert await asyncio.wait_for(reader.read(), 2) == b""
        writer.close()
        assert running.counters() == {f"fault.{code}": 1}


async def test_a_body_announced_too_large_is_refused_before_it_is_read(stand: Start) -> None:
    """No `100 Continue`, no word to the upstream; the answer comes whole though the client goes on sending."""
    async with stand(nobody, **SMALL) as running:
        reader, writer = await running.connect()
        writer.write(HEAD + b"content-length: 1001\r\nexpect: 100-continue\r\n\r\n")
        got = await asyncio.wait_for(read_message(reader), 2)
        refused(got, 413, "body_too_large")
        assert b"limit 1000 bytes" in got.body
        for _ in range(20):
            writer.write(b"x" * 50)
            await asyncio.sleep(0.001)
        assert await asyncio.wait_for(reader.read(), 2) == b""
        writer.close()
        counted = running.counters()
        assert (counted["fault.body_too_large"], counted["received"]) == (1, 1)


@pytest.mark.parametrize("transport", ["http1", "aiohttp", "httpx"])
async def test_a_chunked_body_is_refused_where_it_passes_the_limit(stand: Start, transport: str) -> None:
    """The client is told at once, and the upstream's request is broken off, not ended."""
    upstream = Upstream()
    async with stand(upstream, proxy__transport=transport, **SMALL) as running:
        reader, writer = await running.connect()
        writer.write(HEAD + CHUNKED)
        for _ in range(11):
            writer.write(b"64\r\n" + b"x" * 100 + b"\r\n")
            await asyncio.sleep(0.005)
        refused(await asyncio.wait_for(read_message(reader), 2), 413, "body_too_large")
        writer.close()
        await asyncio.wait_for(upstream.cut.wait(), 2)
        assert not upstream.asked
        counted = running.counters()
        assert counted["fault.body_too_large"] == 1
        assert counted["dropped.endpoint"] == 1


async def test_a_body_at_the_limit_passes(stand: Start) -> None:
    """Announced or chunked."""
    upstream = Upstream()
    body = b"x" * 1000
    async with stand(upstream, **SMALL) as running:
        assert (await running.post(body)).body == b"ok"
        assert (await running.ask(HEAD + CHUNKED + b"3e8\r\n" + body + b"\r\n0\r\n\r\n")).body == b"ok"
    assert [asked.body for asked in upstream.asked] == [body, body]


async def test_what_is_refused_is_not_taken_for_an_answer_of_the_model(stand: Start) -> None:
    """The exchange is counted and not mirrored, and it is no loss."""
    async with stand(nobody, **SMALL) as running:
        refused(await running.post(b"x" * 1001), 413, "body_too_large")
        await until(lambda: "dropped.not_routed" in running.counters())


async def test_trailers_are_nobodys(stand: Start) -> None:
    """Neither a credential nor another length comes in behind a body."""
    upstream = Upstream()
    body = b"2\r\n{}\r\n0\r\nauthorization: Bearer evil\r\nx-trailer: 1\r\n\r\n"
    async with stand(upstream) as running:
        assert (await running.ask(HEAD + CHUNKED + body)).body == b"ok"
    assert upstream.asked[0].body == b"{}"
    assert {name for name, _ in upstream.asked[0].headers} <= {
        b"host",
        b"content-length",
        b"transfer-encoding",
    }


@pytest.mark.parametrize(
    "endless", [b"0\r\n" + b"x: y\r\n" * 1000, b"2;" + b"x" * 5000], ids=["trailers", "extension"]
)
async def test_what_is_no_body_is_bounded_too(stand: Start, endless: bytes) -> None:
    """Trailers and chunk extensions without end."""
    async with stand(Upstream(), **SMALL) as running:
        reader, writer = await running.connect()
        writer.write(HEAD + CHUNKED)
        await asyncio.sleep(0.02)
        writer.write(endless)
        refused(await asyncio.wait_for(read_message(reader), 2), 431, "head_too_large")
        writer.close()


@pytest.mark.parametrize("step", [None, 1, 7], ids=["at_once", "byte_by_byte", "in_pieces"])
@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"content-length: 15\r\n\r\n", b'{"model": "m" }'),
        (CHUNKED, b'f\r\n{"model": "m" }\r\n0\r\n\r\n'),
        (b"\r\n", b""),
    ],
    ids=["length", "chunks", "none"],
)
async def test_an_upgrade_that_will_not_be_loses_no_body(
    stand: Start, framing: bytes, body: bytes, step: int | None
) -> None:
    """Java's client asks for h2c with its first request and sends its body all the same; the next request follows."""
    upstream = Upstream()
    upgrade = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMA\r\n"
    request = HEAD + upgrade + framing + body
    async with stand(upstream) as running:
        reader, writer = await running.connect()
        stream = request + GET
        for at in range(0, len(stream), step or len(stream)):
            writer.write(stream[at : at + (step or len(stream))])
            await asyncio.sleep(0)
        for _ in range(2):
            assert (await asyncio.wait_for(read_message(reader), 2)).body == b"ok"
        writer.close()
    assert [asked.body for asked in upstream.asked] == [b'{"model": "m" }' if body else b"", b""]
    assert upstream.asked[1].line == GET.split(b"\r\n")[0]
    assert not upstream.asked[0].values(b"upgrade")


@pytest.mark.parametrize(
    "ask",
    [
        b"POST /v1/x HTTP/1.1\r\nhost: p\r\nupgrade: websocket\r\n",
        b"POST /v1/x HTTP/1.1\r\nhost: p\r\nconnection: keep-alive\r\nupgrade: websocket\r\n",
        b"POST /v1/x HTTP/1.0\r\nhost: p\r\nconnection: upgrade\r\nupgrade: websocket\r\n",
    ],
    ids=["alone", "keep_alive", "http_1_0"],
)
@pytest.mark.parametrize("body", [b"", b"{}"])
async def test_an_upgrade_that_nobody_may_follow_is_ignored(stand: Start, ask: bytes, body: bytes) -> None:
    """Without `Connection: Upgrade`, or of HTTP/1.0: the request is forwarded whole, its `Upgrade` stays here."""
    upstream = Upstream()
    async with stand(upstream) as running:
        got = await running.ask(ask + b"content-length: %d\r\n\r\n" % len(body) + body)
    assert (got.line.split()[1], got.body) == (b"200", b"ok")
    (asked,) = upstream.asked
    assert (asked.body, asked.values(b"upgrade"), asked.values(b"connection")) == (body, [], [])


async def test_a_handshake_may_say_connection_twice(stand: Start) -> None:
    """Two lines are one list."""
    asked = []

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await read_message(reader))
        writer.write(b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello")
        await reader.read()

    asking = GET[:-2] + b"connection: Upgrade\r\nconnection: keep-alive\r\nupgrade: WebSocket\r\n\r\n"
    async with stand(upstream) as running:
        reader, writer = await running.connect()
        writer.write(asking)
        assert (await asyncio.wait_for(reader.readuntil(b"hello"), 2)).startswith(b"HTTP/1.1 101 ")
        writer.close()
    assert asked[0].values(b"upgrade") == [b"websocket"]


async def test_a_handshake_with_a_body_is_refused(stand: Start) -> None:
    """Who took it for a tunnel and who took it for a request would go on differently."""
    asking = HEAD + b"connection: upgrade\r\nupgrade: websocket\r\ncontent-length: 40\r\n\r\n"
    async with stand(nobody) as running:
        refused(
            await running.ask(asking + b"GET /evil HTTP/1.1\r\nhost: evil\r\n\r\n"), 400, "malformed_request"
        )


async def test_what_follows_a_refused_handshake_are_requests(stand: Start) -> None:
    """And nothing of it is asked before the handshake is answered."""
    upstream = Upstream()
    asking = GET[:-2] + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n"
    async with stand(upstream) as running:
        reader, writer = await running.connect()
        writer.write(asking + GET)
        for _ in range(2):
            assert (await asyncio.wait_for(read_message(reader), 2)).body == b"ok"
        writer.close()
    assert [bool(asked.values(b"upgrade")) for asked in upstream.asked] == [True, False]


def _holding() -> tuple[Handler, asyncio.Event, list[Asked]]:
    go, asked = asyncio.Event(), []

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked.append(await read_message(reader))
            await go.wait()
            writer.write(answer(b"ok"))

    return upstream, go, asked


@pytest.mark.parametrize("behind", [b"GARBAGE\r\n\r\n", HEAD + CHUNKED + b"zz\r\n"], ids=["head", "body"])
async def test_a_refusal_comes_behind_the_answers_that_are_owed(stand: Start, behind: bytes) -> None:
    """What is no HTTP behind a request that runs does not become that request's answer."""
    upstream, go, asked = _holding()
    async with stand(upstream) as running:
        reader, writer = await running.connect()
        writer.write(GET + GET + behind)
        await until(lambda: len(asked) == 1)
        go.set()
        for _ in range(2):
            assert (await asyncio.wait_for(read_message(reader), 2)).body == b"ok"
        refused(await asyncio.wait_for(read_message(reader), 2), 400, "malformed_request")
        assert await asyncio.wait_for(reader.read(), 2) == b""
        writer.close()
    assert len(asked) == 2


async def test_a_broken_body_ends_the_upstreams_request_unended(stand: Start) -> None:
    """The client is told, the upstream sees half a request, and no answer comes behind the refusal."""
    upstream = Upstream()
    async with stand(upstream) as running:
        reader, writer = await running.connect()
        writer.write(HEAD + CHUNKED + b"2\r\n{}\r\n")
        await until(lambda: running.counters().get("received") == 1)
        await asyncio.sleep(0.02)
        writer.write(b"zz\r\n")
        refused(await asyncio.wait_for(read_message(reader), 2), 400, "malformed_request")
        assert await asyncio.wait_for(reader.read(), 2) == b""
        writer.close()
        await asyncio.wait_for(upstream.cut.wait(), 2)
        await until(lambda: running.counters().get("ended") == 1)
    assert not upstream.asked


async def _early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(answer(b"ok"))
    await reader.read()


async def test_a_request_is_answered_once(stand: Start) -> None:
    """A body that turns out broken behind its early answer ends the connection without another one."""
    async with stand(_early) as running:
        reader, writer = await running.connect()
        writer.write(HEAD + CHUNKED + b"2\r\n{}\r\n")
        assert (await asyncio.wait_for(read_message(reader), 2)).body == b"ok"
        writer.write(b"zz\r\n")
        assert await asyncio.wait_for(reader.read(), 2) == b""
        writer.close()


async def test_whole_requests_however_they_are_cut(stand: Start) -> None:
    """Three requests on one connection, byte by byte: three answers, in their order."""
    upstream = Upstream()
    stream = post(b"{}") + GET + HEAD + CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"
    async with stand(upstream) as running:
        reader, writer = await running.connect()
        for at in range(len(stream)):
            writer.write(stream[at : at + 1])
            await asyncio.sleep(0)
        for _ in range(3):
            assert (await asyncio.wait_for(read_message(reader), 2)).body == b"ok"
        writer.close()
    assert [asked.body for asked in upstream.asked] == [b"{}", b"", b"abc"]
