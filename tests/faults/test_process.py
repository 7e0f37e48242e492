"""Processes that are stopped, killed and restarted: what clients see, and the counts of what is left.

A configuration that is read again under load, and a bad one that is refused, stand in tests/proxy/test_reload.py; a
worker of two that is killed under load in tests/proxy/test_server.py.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from proxy.scoreboard import Counters, read_scoreboards
from tests.conformance.site import Site
from tests.conformance.wire import LAST_CHUNK, Message, Wire, chunk, stream_head, until
from tests.faults.conftest import Starting
from tests.faults.counting import bus_stats, settled
from tests.faults.test_mirror import Asking, asked, bus_of, logged
from tests.proxy.processes import RunningProxy

STREAMS = 200
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


class Held:
    """An upstream whose streams begin at once and end when they are told to."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.running = threading.Semaphore(0)

    def __call__(self, head: Message, wire: Wire) -> None:
        """Serve."""
        wire.body(head)
        wire.send(stream_head() + chunk(EVENT))
        self.running.release()
        self.go.wait(60.0)
        wire.send(chunk(END), LAST_CHUNK)

    def begin(self, site: Site, count: int) -> list[Wire]:
        """Open so many streams and wait until all have begun."""
        site.upstream.start(self)
        wires = [site.connect() for _ in range(count)]
        for wire in wires:
            wire.send(site.posting(site.chat(stream=True)))
        for _ in wires:
            assert self.running.acquire(timeout=40.0)
        return wires


def process_of(site: Site) -> RunningProxy:
    """Return the process of a proxy that is ours."""
    assert site.process is not None
    return site.process


def left_behind(folder: Path) -> Counters:
    """Read the counters of a proxy that has ended."""
    return read_scoreboards(folder / "state" / "proxy").total


def test_sigterm_under_200_streams(start: Starting, tmp_path: Path) -> None:
    """Nothing new is taken in, every stream ends whole, the mirror is flushed, and the exit status is 0."""
    site, held = start(proxy={"drain_s": 60.0, "workers": 2}), Held()
    wires = held.begin(site, STREAMS)
    proxy = process_of(site)
    proxy.process.send_signal(signal.SIGTERM)
    until(lambda: proxy.get(proxy.admin + "/-/readyz") is None)
    held.go.set()
    got = [wire.message() for wire in wires]
    assert {(each.status, each.body, each.end) for each in got} == {(200, EVENT + END, "whole")}
    assert proxy.process.wait(70) == 0
    total = left_behind(tmp_path)
    assert (total["received"], total["mirrored"], total.dropped) == (STREAMS, STREAMS, 0)
    stats = bus_stats(bus_of(site))
    assert (stats.published, stats.dropped) == (STREAMS, 0)


def test_kill_9_of_everything_under_streams(start: Starting, tmp_path: Path) -> None:
    """Clients see their streams break off; the next start counts what ran as lost, and tells the monitor."""
    site, held = start(), Held()
    asking = Asking(site)
    until(lambda: len(asking.statuses) > 20, 30.0)
    answered = asking.end()
    settled(site)
    wires = held.begin(site, 20)
    heads = [wire.head() for wire in wires]
    proxy = process_of(site)
    for pid in (proxy.process.pid, *proxy.workers()):
        os.kill(pid, signal.SIGKILL)
    proxy.process.wait()
    for wire, head in zip(wires, heads, strict=True):
        got = wire.body(head)
        assert got.end in {"short", "reset"}
        assert EVENT.startswith(got.body)
    held.go.set()
    again = start()
    mirror = settled(again)
    assert (mirror["received"], mirror["mirrored"]) == (answered + 20, answered)
    assert {reason: n for reason, n in mirror["dropped"].items() if n} == {"crash": 20}
    until(lambda: bus_stats(bus_of(again)).dropped == 20)
    assert bus_stats(bus_of(again)).published == answered


def test_a_worker_that_crashes_time_after_time(start: Starting) -> None:
    """The only worker is killed three times: connections wait in the backlog, requests are served, nothing is uncounted."""
    site = start()
    proxy = process_of(site)
    answered, broken = 0, 0
    for _ in range(3):
        (worker,) = proxy.workers()
        os.kill(worker, signal.SIGKILL)
        # Sent while nobody serves: the parent holds the listening socket.
        try:
            assert site.post(site.chat()).status == 200
            answered += 1
        except (OSError, EOFError):
            broken += 1  # taken in by the worker in its last moment
        until(lambda gone=worker: proxy.workers() and proxy.workers() != [gone], 30.0)
        answered += asked(site, 0.1)
    mirror = settled(site)
    assert answered <= mirror["received"] <= answered + broken
    assert mirror["mirrored"] + sum(mirror["dropped"].values()) == mirror["received"]
    stats = bus_stats(bus_of(site))
    assert stats.published == mirror["mirrored"]
    assert len(logged(site, "worker ended")) == 3
    until(lambda: bus_stats(bus_of(site)).dropped == mirror["dropped"]["crash"])


def test_a_hung_worker_does_not_hold_up_the_end(start: Starting, long: bool) -> None:  # noqa: FBT001 - a fixture
    """Stopped with SIGSTOP it answers nobody and takes no SIGTERM: the parent's patience ends, and all is counted."""
    if not long:
        pytest.skip("the parent's patience is twelve seconds: --long")
    site = start(proxy={"drain_s": 0.5})
    asking = Asking(site)
    until(lambda: len(asking.statuses) > 10, 30.0)
    answered = asking.end()
    settled(site)
    proxy = process_of(site)
    (worker,) = proxy.workers()
    os.kill(worker, signal.SIGSTOP)
    began = time.monotonic()
    proxy.process.send_signal(signal.SIGTERM)
    assert proxy.process.wait(30) == 0
    assert time.monotonic() - began < 20.0
    again = start()
    mirror = settled(again)
    assert (mirror["received"], mirror["mirrored"]) == (answered, answered)
