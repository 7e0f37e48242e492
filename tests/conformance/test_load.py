"""Load: many at once, long streams, a sink that hangs. Bounded by default, at full length with `--long`."""

from __future__ import annotations

import statistics
import threading
import time

import pytest

from tests.conformance.site import Site
from tests.conformance.upstream import answering
from tests.conformance.wire import ANSWER, LAST_CHUNK, Message, Wire, chunk, response, stream_head

JSON = b"content-type: application/json"
PING = b":\n\n"
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'


def test_f34_more_than_a_hundred_requests_run_at_once(site: Site) -> None:
    """Of 150 requests none is answered before all have reached the upstream."""
    many = 150
    together = threading.Barrier(many)

    def script(head: Message, wire: Wire) -> None:
        wire.body(head)
        together.wait(8.0)
        wire.send(response(ANSWER, JSON))

    site.upstream.start(script)
    wires = [site.connect() for _ in range(many)]
    for wire in wires:
        wire.send(site.posting(site.chat()))
    assert [wire.message().status for wire in wires] == [200] * many


def test_f36_many_streams_at_once(site: Site, long: bool) -> None:  # noqa: FBT001 - a fixture
    """200 streams (`--long`: 1,000) run together, each whole; memory stays bounded and comes back."""
    many = 1000 if long else 200
    arrived, together = threading.Semaphore(0), threading.Event()

    def script(head: Message, wire: Wire) -> None:
        wire.body(head)
        wire.send(stream_head())
        arrived.release()
        # A silence would be given up: how long all take to arrive is not what is tested.
        while not together.wait(0.5):
            wire.send(chunk(PING))
        for _ in range(5):
            wire.send(chunk(EVENT))
            time.sleep(0.05)
        wire.send(LAST_CHUNK)

    site.upstream.start(script)
    before = site.rss_mb() if site.ours else 0.0
    wires = [site.connect() for _ in range(many)]
    for wire in wires:
        wire.send(site.posting(site.chat(stream=True)))
    for _ in range(many):
        assert arrived.acquire(timeout=30.0)
    together.set()
    got = [wire.message() for wire in wires]
    ends = {(each.status, each.body.replace(PING, b""), each.end) for each in got}
    assert ends == {(200, EVENT * 5, "whole")}
    if site.ours:
        assert site.rss_mb() - before < 0.2 * many
        assert site.settled()["requests"]["in_flight"] == 0


@pytest.mark.ours("reads our memory")
@pytest.mark.modes("hung")
def test_f46_a_hung_sink_costs_clients_nothing(site: Site, long: bool) -> None:  # noqa: FBT001 - a fixture
    """With the bus locked, latency stays what it is and memory stays within the mirror's budget."""
    site.upstream.start(response(b'{"choices":[],"padding":"' + b"x" * 20_000 + b'"}', JSON))
    before, took = site.rss_mb(), []
    until = time.monotonic() + (60.0 if long else 3.0)
    wire = site.connect()
    while time.monotonic() < until:
        began = time.monotonic()
        wire.send(site.posting(site.chat()))
        assert wire.message().status == 200
        took.append(time.monotonic() - began)
    mirror = site.settled()["mirror"]
    assert mirror["dropped"]["queue_full"] > 0
    assert mirror["queue"]["bytes"] <= mirror["queue"]["limit_bytes"]
    assert mirror["mirrored"] == 0
    assert site.rss_mb() - before < 24
    half = len(took) // 2
    assert statistics.median(took) < 0.03
    assert statistics.median(took[half:]) < 3 * statistics.median(took[:half])


def test_f49_chunks_cost_the_same_late_as_early(site: Site, long: bool) -> None:  # noqa: FBT001 - a fixture
    """Of one stream of 12,000 events (`--long`: 60,000) the last third takes no longer than the first, and no threads."""
    third = 20_000 if long else 4_000
    marks: list[float] = []

    def script(head: Message, wire: Wire) -> None:
        wire.body(head)
        wire.send(stream_head())
        for _ in range(3):
            for _ in range(third // 10):
                # Ten chunks in a write: as many parts as a busy model sends.
                wire.send(chunk(EVENT) * 10)
        wire.send(LAST_CHUNK)

    site.upstream.start(script)
    threads = site.threads() if site.ours else 0
    wire = site.connect()
    wire.send(site.posting(site.chat(stream=True)))
    came = 0
    marks.append(time.monotonic())
    for part in wire.parts(wire.head()):
        came += len(part)
        while came >= len(marks) * third * len(EVENT):
            marks.append(time.monotonic())
    assert came == 3 * third * len(EVENT)
    first, last = marks[1] - marks[0], marks[3] - marks[2]
    assert last < 3 * first + 0.2
    if site.ours:
        assert site.threads() <= threads + 1


def test_f54_a_soak_stays_flat(site: Site, long: bool) -> None:  # noqa: FBT001 - a fixture
    """Two seconds (`--long`: ten minutes) of calls, streams, faults and cancels: memory, files and threads stay."""

    def script(head: Message, wire: Wire) -> None:
        asked = wire.body(head)
        if b"stream" in asked.body:
            wire.send(stream_head() + chunk(EVENT))
            if b"leave" in asked.body:
                wire.gone(2.0)
            else:
                wire.send(LAST_CHUNK)
        elif b"fail" in asked.body:
            wire.reset()
        else:
            wire.send(response(ANSWER, JSON))

    def round_() -> None:
        for _ in range(5):
            assert site.post(site.chat()).status == 200
            assert site.post(site.chat(stream=True)).end == "whole"
        assert site.post(site.chat(user="fail")).status >= 500
        wire = site.connect()
        wire.send(site.posting(site.chat(stream=True, user="leave")))
        wire.until(EVENT)
        site.hang_up()

    site.upstream.start(script)
    for _ in range(5):
        round_()
    before = (site.rss_mb(), len(site.files()), site.threads()) if site.ours else None
    until = time.monotonic() + (600.0 if long else 2.0)
    rounds = 0
    while time.monotonic() < until or rounds < 10:
        round_()
        rounds += 1
    if before is not None:
        assert site.settled()["requests"]["in_flight"] == 0
        assert site.rss_mb() - before[0] < 16
        assert len(site.files()) <= before[1] + 4
        assert site.threads() <= before[2] + 1


def test_f55_small_requests_stay_quick_beside_large_ones(site: Site) -> None:
    """While 400 kB bodies pass without end, small calls (and our own probe) keep their pace."""
    answer = answering(site.upstream, response(ANSWER, JSON))
    site.upstream.start(answer)
    ending = threading.Event()
    large = site.posting(site.chat(padding="x" * 400_000))

    def hammer() -> None:
        wire = site.connect()
        while not ending.is_set():
            wire.send(large)
            assert wire.message().status == 200
            # A client thinks between its requests; the load is one of many bodies, not of a loop.
            time.sleep(0.005)

    hammering = [threading.Thread(target=hammer) for _ in range(2)]
    for thread in hammering:
        thread.start()
    took = []
    try:
        wire = site.connect()
        for i in range(60):
            began = time.monotonic()
            if site.ours and i % 2:
                wire.send(b"GET /-/livez HTTP/1.1\r\nhost: p\r\n\r\n")
            else:
                wire.send(site.posting(site.chat()))
            assert wire.message().status == 200
            took.append(time.monotonic() - began)
            time.sleep(0.01)
    finally:
        ending.set()
        for thread in hammering:
            thread.join()
    assert statistics.median(took) < 0.05
    assert max(took) < 0.8
