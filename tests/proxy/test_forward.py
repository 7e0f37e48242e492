"""The forwarder over real sockets: what goes in comes out, and every way to fail ends as it should."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import time

import pytest

from proxy.slots import INDEX
from tests.proxy.conftest import Start
from tests.proxy.wire import Asked, answer, post, read_chunked, read_message, until

CHAT = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'
DONE = b'{"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]}'
HANG = "before the head", "before the body", "mid-stream"


@pytest.fixture(params=["http1", "aiohttp", "httpx"])
def transport(request: pytest.FixtureRequest) -> str:
    """Run a test with each transport."""
    return str(request.param)


class Upstream:
    """Answers every request with the same bytes and remembers what was asked."""

    def __init__(self, reply: bytes, *, then_reset: bool = False) -> None:
        self.reply = reply
        self.then_reset = then_reset
        self.asked: list[Asked] = []
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection."""
        self.connections += 1
        while True:
            self.asked.append(await read_message(reader))
            writer.write(self.reply)
            await writer.drain()
            if self.then_reset:
                reset(writer)
                return


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


async def test_request_bytes_pass_unchanged(stand: Start, transport: str) -> None:
    """Body, path, query and end-to-end headers arrive as they were sent, and nothing is added but Host."""
    body = b'\xef\xbb\xbf{"b": 1e400, "a":"\\u00e9<>&", "a": 18446744073709551615 }'
    upstream = Upstream(answer(b"{}"))
    async with stand(upstream, proxy__transport=transport) as running:
        await running.post(
            body,
            b"/v1//odd%2Fpath/%E4?a=&b=%20+c&&",
            b"X-One: 1",
            b"x-two: \xc3\xa9",
            b"X-One: 2",
            b"Connection: keep-alive, X-Private",
            b"X-Private: secret",
            b"TE: trailers",
            b'Drift-Sticky: "k"',
        )
    asked = upstream.asked[0]
    assert asked.line == b"POST /v1//odd%2Fpath/%E4?a=&b=%20+c&& HTTP/1.1"
    assert asked.body == body
    assert asked.values(b"x-one") == [b"1", b"2"]
    assert asked.values(b"x-two") == [b"\xc3\xa9"]
    names = sorted(name.lower() for name, _ in asked.headers)
    assert names == [b"content-length", b"host", b"x-one", b"x-one", b"x-two"]


async def test_response_bytes_pass_unchanged(stand: Start, transport: str) -> None:
    """Status, headers in order and repeated, coding and bytes come back; Server and Date are the upstream's."""
    body = b"\x1f\x8bnot really gzip"
    headers = (
        b"Server: up",
        b"Date: then",
        b"Set-Cookie: a=1",
        b"Content-Encoding: gzip",
        b"Set-Cookie: b=2",
    )
    upstream = Upstream(answer(body, *headers, b"Connection: x-hop", b"x-hop: 1", status=b"429 Slow"))
    async with stand(upstream, proxy__transport=transport, proxy__headers="off") as running:
        got = await running.post(CHAT)
    assert got.line.startswith(b"HTTP/1.1 429")
    assert got.body == body
    expected = [(b"content-length", b"%d" % len(body))]
    expected += [(name.lower(), value.strip()) for name, _, value in (h.partition(b":") for h in headers)]
    assert got.headers == expected


async def test_own_headers_stand_on_every_response(stand: Start) -> None:
    """Drift-Status and Drift-Exchange come with successes, errors and our own faults."""
    upstream = Upstream(answer(b"{}", status=b"500 Oops"))
    async with stand(upstream) as running:
        got = await running.post(CHAT)
        assert got.values(b"drift-status") == [b'learning;route="default";arm=control']
        (exchange,) = await running.exchanges()
        assert got.values(b"drift-exchange") == [f'"{exchange.id}"'.encode()]
        assert exchange.error == "http_500"


async def test_a_mistake_of_ours_is_told_as_any_other_fault(
    stand: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In OpenAI's shape, marked, counted and mirrored; the connection goes on."""

    def mistaken(*_: object) -> list[tuple[bytes, bytes]]:
        raise KeyError("unforeseen")

    upstream = Upstream(answer(DONE))
    async with stand(upstream) as running:
        monkeypatch.setattr("proxy.request_side.to_upstream", mistaken)
        got = await running.post(CHAT)
        assert got.line.startswith(b"HTTP/1.1 500")
        assert got.values(b"drift-error") == [b"internal"]
        assert json.loads(got.body)["error"]["code"] == "internal"
        (exchange,) = await running.exchanges()
        assert (exchange.status, exchange.error) == (500, "internal")
        monkeypatch.undo()
        assert (await running.post(CHAT)).body == DONE
        assert running.board.slots[INDEX["fault.internal"]] == 1


async def test_a_status_below_100_is_no_answer(stand: Start, transport: str) -> None:
    """RFC 9110 section 15: three digits from 100."""
    upstream = Upstream(b"HTTP/1.1 099 What\r\ncontent-length: 2\r\n\r\n{}")
    async with stand(upstream, proxy__transport=transport) as running:
        got = await running.post(CHAT)
    assert got.line.startswith(b"HTTP/1.1 502")
    assert got.values(b"drift-error") == [b"upstream_garbage"]


async def test_server_timing_says_who_took_how_long(stand: Start) -> None:
    """Two metrics in milliseconds, behind the upstream's own; never with `headers: off`, nor unasked."""

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        await asyncio.sleep(0.1)
        writer.write(answer(b"{}", b"server-timing: gpu;dur=5", b"connection: close"))

    async with stand(upstream, proxy__server_timing=True) as running:
        theirs, ours = (await running.post(CHAT)).values(b"server-timing")
    assert theirs == b"gpu;dur=5"
    found = re.fullmatch(rb"proxy;dur=(\d+\.\d{3}), upstream;dur=(\d+\.\d{3})", ours)
    assert found
    assert 0 < float(found[1]) < 50
    assert 100 <= float(found[2]) < 300
    for off in ({}, {"proxy__server_timing": True, "proxy__headers": "off"}):
        async with stand(upstream, **off) as running:
            assert (await running.post(CHAT)).values(b"server-timing") == [b"gpu;dur=5"]


@pytest.mark.parametrize("method", [b"GET", b"DELETE", b"OPTIONS"])
async def test_no_body_stays_no_body(stand: Start, transport: str, method: bytes) -> None:
    """A request without a body reaches the upstream without one."""
    upstream = Upstream(answer(b"[]"))
    async with stand(upstream, proxy__transport=transport) as running:
        got = await running.ask(method + b" /v1/models HTTP/1.1\r\nhost: p\r\n\r\n")
    assert got.body == b"[]"
    assert not upstream.asked[0].values(b"transfer-encoding")
    assert upstream.asked[0].line == method + b" /v1/models HTTP/1.1"


async def test_head_and_bodyless_statuses(stand: Start, transport: str) -> None:
    """HEAD keeps its Content-Length; 204 and 304 end at their head, and a 204 that says otherwise is mended."""
    replies = {
        b"/h": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
        b"/n": b"HTTP/1.1 204 No Content\r\n\r\n",
        b"/l": b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n",
        b"/m": b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\netag: x\r\n\r\n",
    }

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked = await read_message(reader)
            writer.write(replies[asked.line.split()[1]])

    async with stand(upstream, proxy__transport=transport) as running:
        reader, writer = await running.connect()
        for line in (b"HEAD /h", b"GET /n", b"GET /l", b"HEAD /l", b"GET /m"):
            writer.write(line + b" HTTP/1.1\r\nhost: p\r\n\r\n")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 2)
            status = replies[line.split()[1]].split()[1]
            assert head.split()[1] == status
            assert (b"content-length" in head) is (status != b"204")
        writer.close()
        await until(lambda: running.counters().get("ended") == 5)
        assert not [name for name in running.counters() if name.startswith("fault")]
    assert b"content-length: 7" in head


async def test_expect_100_continue(stand: Start) -> None:
    """A client that waits for 100 gets it, and the upstream sees no Expect."""
    upstream = Upstream(answer(b"{}"))
    async with stand(upstream) as running:
        reader, writer = await running.connect()
        writer.write(
            post(b"", b"/v1/x", b"expect: 100-continue").replace(b"content-length: 0", b"content-length: 2")
        )
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 2)).startswith(b"HTTP/1.1 100")
        writer.write(b"{}")
        assert (await read_message(reader)).body == b"{}"
        writer.close()
    assert not upstream.asked[0].values(b"expect")
    assert upstream.asked[0].body == b"{}"


async def test_each_read_is_written_before_the_next(stand: Start, transport: str) -> None:
    """A stream's head and each of its events arrive before the upstream goes on."""
    step = asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for i in range(3):
            await step.wait()
            step.clear()
            writer.write(b"9\r\ndata: %d\n\n\r\n" % i)
        await step.wait()
        writer.write(b"0\r\n\r\n")

    async with stand(upstream, proxy__transport=transport) as running:
        reader, writer = await running.connect()
        writer.write(post(CHAT))
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 2)
        for i in range(3):
            step.set()
            assert await asyncio.wait_for(reader.readexactly(14), 2) == b"9\r\ndata: %d\n\n\r\n" % i
        step.set()
        assert await asyncio.wait_for(reader.readexactly(5), 2) == b"0\r\n\r\n"
        writer.close()


async def test_reset_mid_stream_is_no_clean_end(stand: Start, transport: str) -> None:
    """What came before an upstream's reset arrives, the end does not, and the exchange is flagged."""
    event = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
    chunk = b"%x\r\n" % len(event) + event + b"\r\n"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(head + chunk)
        await asyncio.sleep(0.05)
        reset(writer)

    async with stand(upstream, proxy__transport=transport) as running:
        reader, writer = await running.connect()
        writer.write(post(CHAT))
        received = await asyncio.wait_for(reader.read(-1), 5)
        writer.close()
        assert received.endswith(chunk)
        (exchange,) = await running.exchanges()
        assert (exchange.response, exchange.complete, exchange.error) == ("hi", False, "upstream_reset")


async def test_short_content_length_is_no_clean_end(stand: Start, transport: str) -> None:
    """An answer shorter than it promised ends the client's connection short, too."""
    upstream = Upstream(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", then_reset=True)
    async with stand(upstream, proxy__transport=transport) as running:
        with pytest.raises(asyncio.IncompleteReadError):
            await asyncio.wait_for(running.post(CHAT), 5)


async def check_fault(got: Asked, status: int, code: str) -> None:
    """Assert OpenAI's error shape and our mark."""
    assert int(got.line.split()[1]) == status
    assert got.values(b"drift-error") == [code.encode()]
    error = json.loads(got.body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == code


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [(b"", 502, "upstream_reset"), (b"SSH-2.0-OpenSSH_9\r\n\r\n", 502, "upstream_garbage")],
)
async def test_bad_upstreams_are_our_502(
    stand: Start, transport: str, reply: bytes, status: int, code: str
) -> None:
    """A reset before the head and an answer that is not HTTP are told in OpenAI's shape, marked as ours."""
    async with stand(Upstream(reply, then_reset=True), proxy__transport=transport) as running:
        await check_fault(await running.post(CHAT), status, code)
        (exchange,) = await running.exchanges()
        assert (exchange.status, exchange.error, exchange.complete) == (status, code, False)


async def test_refused_upstream_is_our_502(stand: Start, transport: str, free_port: int) -> None:
    """Nobody listens there."""
    url = f"http://127.0.0.1:{free_port}/v1"
    async with stand(Upstream(b""), proxy__transport=transport, proxy__upstream=url) as running:
        await check_fault(await running.post(CHAT), 502, "upstream_refused")


async def test_silent_upstream_is_our_504(stand: Start, transport: str) -> None:
    """An upstream that never answers is given up after the read timeout."""
    async with stand(Upstream(b""), proxy__transport=transport, proxy__timeouts__read_s=0.2) as running:
        await check_fault(await asyncio.wait_for(running.post(CHAT), 3), 504, "upstream_timeout")


@pytest.mark.parametrize("phase", HANG)
async def test_client_leaving_ends_the_upstream(stand: Start, transport: str, phase: str) -> None:
    """Whenever the client leaves, the upstream's connection ends within a second, and it is counted."""
    waiting, gone = asyncio.Event(), asyncio.Event()
    sent = {
        "before the head": b"",
        "before the body": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "mid-stream": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    }[phase]

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(sent)
        waiting.set()
        assert await reader.read(1) == b""
        gone.set()

    async with stand(upstream, proxy__transport=transport) as running:
        reader, writer = await running.connect()
        writer.write(post(CHAT))
        await asyncio.wait_for(waiting.wait(), 2)
        if sent:
            await reader.readuntil(b"\r\n\r\n")
        if phase == "mid-stream":
            await reader.readuntil(b"hello")
        left = time.monotonic()
        writer.close()
        await asyncio.wait_for(gone.wait(), 2)
        assert time.monotonic() - left < 1.0
        name = {"before the head": "before_head", "before the body": "before_body"}.get(phase, "mid_stream")
        await until(lambda: running.counters().get(f"left.{name}") == 1)
        assert running.counters()["ended"] == 1
        assert (await running.exchanges())[0].error == "client_left"


async def test_client_leaving_mid_upload_ends_the_upstream(stand: Start, transport: str) -> None:
    """A client that leaves in the middle of its body takes the upstream request with it."""
    gone = asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        gone.set()

    async with stand(upstream, proxy__transport=transport) as running:
        _, writer = await running.connect()
        writer.write(
            b"POST /v1/responses HTTP/1.1\r\nhost: p\r\ncontent-length: 1000000\r\n\r\n" + b"x" * 100_000
        )
        await until(lambda: running.counters().get("received") == 1)
        await asyncio.sleep(0.05)
        writer.close()
        await asyncio.wait_for(gone.wait(), 2)
        await until(lambda: running.counters().get("ended") == 1)
        (exchange,) = await running.exchanges()
        assert (exchange.route, exchange.error, exchange.complete) == ("default", "client_left", False)
        counters = running.counters()
        assert (counters["left.upload"], counters["partial.client_left"]) == (1, 1)


async def test_stale_connections_cause_no_fault(stand: Start, transport: str) -> None:
    """An upstream that closes idle connections is asked anew on another one."""
    upstream = Upstream(answer(b"{}"), then_reset=True)
    async with stand(upstream, proxy__transport=transport) as running:
        for _ in range(5):
            assert (await running.post(CHAT)).line.startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.01)
    assert upstream.connections == 5


async def test_connections_are_reused(stand: Start, transport: str) -> None:
    """Requests one after the other share an upstream connection."""
    upstream = Upstream(answer(b"{}"))
    async with stand(upstream, proxy__transport=transport) as running:
        for _ in range(5):
            await running.post(CHAT)
    assert upstream.connections == 1


async def test_large_bodies_pass(stand: Start, transport: str) -> None:
    """Twenty megabytes up and back, in chunks, byte for byte; the mirror lets go and says why."""
    body = bytes(range(256)) * 80_000

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await read_message(reader)
        writer.write(answer(asked.body))
        await writer.drain()

    async with stand(upstream, proxy__transport=transport, mirror__max_body_bytes=1_000_000) as running:
        reader, writer = await running.connect()
        writer.write(b"POST /v1/responses HTTP/1.1\r\nhost: p\r\ntransfer-encoding: chunked\r\n\r\n")
        for start in range(0, len(body), 1_000_000):
            part = body[start : start + 1_000_000]
            writer.write(b"%x\r\n" % len(part) + part + b"\r\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        assert (await asyncio.wait_for(read_message(reader), 20)).body == body
        writer.close()
        await until(lambda: running.counters().get("dropped.too_large") == 1)
        assert running.mirror.budget.used == 0


async def test_pipelined_requests_are_answered_in_order(stand: Start) -> None:
    """Two requests sent at once get their answers one after the other."""

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(answer((await read_message(reader)).body))

    async with stand(upstream) as running:
        reader, writer = await running.connect()
        writer.write(post(b"one", b"/v1/x") + post(b"two", b"/v1/x"))
        assert (await read_message(reader)).body == b"one"
        assert (await read_message(reader)).body == b"two"
        writer.close()


async def test_close_delimited_answers_become_chunked(stand: Start, transport: str) -> None:
    """An answer that ends with its connection arrives whole, with a proper end."""
    upstream = Upstream(b"HTTP/1.1 200 OK\r\n\r\nall of it")

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(upstream.reply)

    async with stand(once, proxy__transport=transport) as running:
        reader, writer = await running.connect()
        writer.write(post(CHAT))
        await reader.readuntil(b"\r\n\r\n")
        assert await read_chunked(reader) == b"all of it"
        writer.close()


async def test_a_101_that_nobody_asked_for_is_our_502(stand: Start) -> None:
    """An upstream cannot switch protocols by itself."""
    switching = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
    async with stand(Upstream(switching)) as running:
        await check_fault(await running.post(CHAT), 502, "upstream_garbage")


async def test_model_decides_the_route(stand: Start) -> None:
    """With several routes the body's model chooses; the variant's model and key replace the client's."""
    upstream = Upstream(answer(DONE))
    routes = [
        {"name": "a", "match": "alpha*", "variant": {"name": "v1", "model": "real-alpha"}},
        {"name": "b", "match": "beta"},
    ]
    async with stand(upstream, routes=routes) as running:
        await running.post(b'{ "messages":[{"model":"x"}], "model" : "alpha-2", "n":1 }')
        await check_fault(await running.post(b'{"model":"gamma"}'), 404, "model_not_routed")
        (exchange,) = await running.exchanges()
        await until(lambda: running.counters().get("dropped.not_routed") == 1)
    assert upstream.asked[0].body == b'{ "messages":[{"model":"x"}], "model" : "real-alpha", "n":1 }'
    assert (exchange.route, exchange.variant) == ("a", "v1")


async def test_other_endpoints_are_forwarded_and_not_mirrored(stand: Start) -> None:
    """Embeddings pass and are counted as an endpoint that is not judged."""
    async with stand(Upstream(answer(b'{"data":[]}'))) as running:
        assert (await running.post(b'{"input":"x"}', b"/v1/embeddings")).body == b'{"data":[]}'
        counters = running.counters()
        assert (counters["received"], counters["dropped.endpoint"]) == (1, 1)


async def test_unknown_own_paths_stay_here(stand: Start) -> None:
    """What is under /-/ is never forwarded."""
    upstream = Upstream(answer(b"{}"))
    async with stand(upstream) as running:
        got = await running.ask(b"GET /-/nothing HTTP/1.1\r\nhost: p\r\n\r\n")
        assert got.line.split()[1] == b"404"
        assert json.loads(got.body)["error"]["code"] == "not_found"
        assert (await running.ask(b"GET /-/livez HTTP/1.1\r\nhost: p\r\n\r\n")).body == b"ok\n"
    assert upstream.asked == []


@pytest.mark.parametrize("reads_on", [True, False])
async def test_an_early_answer_overtakes_the_upload(stand: Start, reads_on: bool) -> None:  # noqa: FBT001 - two cases
    """An upstream that refuses a body before it has read it is heard, not drowned in our own fault."""

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(b"too much", b"connection: close", status=b"413 Too Large"))
        await writer.drain()
        while reads_on and await reader.read(65536):
            pass

    async with stand(upstream) as running:
        got = await asyncio.wait_for(running.post(b"x" * 3_000_000, b"/v1/files"), 5)
        assert (got.line.split()[1], got.body) == (b"413", b"too much")


async def test_a_client_that_stops_reading_slows_the_upstream(stand: Start, transport: str) -> None:
    """Back-pressure reaches the upstream: it cannot get rid of more than the buffers on the way."""
    sent, stalled = [0], asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 200000000\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 100_000)
                await asyncio.wait_for(writer.drain(), 0.5)
                sent[0] += 100_000
        except TimeoutError:
            stalled.set()

    async with stand(upstream, proxy__transport=transport) as running:
        reader, writer = await running.connect()
        writer.write(post(b"{}", b"/v1/x"))
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.wait_for(stalled.wait(), 10)
        assert sent[0] < 50_000_000
        writer.close()


async def test_times_are_counted_where_they_were_spent(stand: Start, transport: str) -> None:
    """The upstream's waiting is the upstream's, a slow upload the client's, and what is left is next to nothing."""

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        await asyncio.sleep(0.2)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        await asyncio.sleep(0.2)
        writer.write(b"data: [DONE]\n\n")

    async with stand(upstream, proxy__transport=transport, routes=[{"name": "a", "match": "?*"}]) as running:
        reader, writer = await running.connect()
        head, _, body = post(CHAT).partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        await asyncio.sleep(0.2)
        writer.write(body)
        assert b"[DONE]" in (await read_message(reader)).body
        writer.close()
        await until(lambda: running.counters().get("ended") == 1)
        seconds = {name: count / 1e6 for name, count in running.counters().items() if "sum_us" in name}
    assert 0.2 <= seconds["upstream.sum_us@a"] < 0.35
    assert 0.6 <= seconds["first.sum_us@a"] <= seconds["whole.sum_us@a"] < 1.0
    assert seconds["added.sum_us"] < 0.05
