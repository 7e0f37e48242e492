"""Processes: an orderly stop. Each test starts a proxy of its own, in the configuration of the round."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from monitor.bus.sqlite import SqliteBus
from tests.conformance.conftest import configuration, hang
from tests.conformance.site import Asking, Site
from tests.conformance.wire import LAST_CHUNK, Message, Wire, chunk, stream_head, until
from tests.proxy.processes import RunningProxy

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"


@contextlib.contextmanager
def starting(site: Site, directory: Path) -> Iterator[Site]:
    """Start a proxy like the one of this round."""
    (directory / "state").mkdir()
    lock = hang(directory / "state" / "bus.sqlite") if site.mode == "hung" else None
    with RunningProxy(directory, configuration(site.mode, site.upstream.port, site.transport)) as process:
        parts = urlsplit(process.base)
        address = (parts.hostname or "", parts.port or 0)
        own = Site(site.mode, address, b"/v1", site.upstream, asking=Asking(), process=process)
        yield own
        own.hang_up()
    if lock is not None:
        lock.close()


@pytest.mark.ours("stops our process")
def test_f53_sigterm_drains(site: Site, tmp_path: Path) -> None:
    """Not ready first, then running streams end whole, the mirror is flushed, and the exit status is 0."""
    go, running = threading.Event(), threading.Semaphore(0)
    many = 20

    def script(head: Message, wire: Wire) -> None:
        wire.body(head)
        wire.send(stream_head() + chunk(EVENT))
        running.release()
        assert go.wait(10.0)
        wire.send(chunk(DONE), LAST_CHUNK)

    site.upstream.start(script)
    with starting(site, tmp_path) as own:
        wires = [own.connect() for _ in range(many)]
        for wire in wires:
            wire.send(own.posting(own.chat(stream=True)))
        for _ in range(many):
            assert running.acquire(timeout=5.0)
        own.process.process.send_signal(signal.SIGTERM)
        until(lambda: own.process.get(own.process.admin + "/-/readyz") is None)
        until(lambda: _refused(own))
        assert own.process.process.poll() is None
        go.set()
        got = [wire.message() for wire in wires]
        assert {(each.status, each.body, each.end) for each in got} == {(200, EVENT + DONE, "whole")}
        assert own.process.process.wait(15) == 0
    if site.mode == "on":
        bus = SqliteBus(tmp_path / "state" / "bus.sqlite")
        seen = [exchange for batch in bus.fetch("test", 1000, time.time()) for exchange in batch.exchanges]
        bus.close()
        assert [exchange.complete for exchange in seen] == [True] * many


def _refused(own: Site) -> bool:
    try:
        own.connect().close()
    except OSError:
        return True
    return False


@pytest.mark.ours("stops our process")
def test_f53_streams_beyond_the_grace_are_broken_off(site: Site, tmp_path: Path) -> None:
    """A stream that does not end within `proxy.drain_s` ends short, never as if it were whole."""

    def script(head: Message, wire: Wire) -> None:
        wire.body(head)
        wire.send(stream_head() + chunk(EVENT))
        wire.gone(12.0)

    site.upstream.start(script)
    if site.mode == "hung":
        pytest.skip("the same as with the mirror off, and five seconds longer")
    with starting(site, tmp_path) as own:
        wire = own.connect()
        wire.send(own.posting(own.chat(stream=True)))
        wire.until(EVENT)
        own.process.process.send_signal(signal.SIGTERM)
        rest, end = b"", ""
        try:
            while data := wire.some(10.0):
                rest += data
        except ConnectionResetError:
            end = "reset"
        assert b"0\r\n\r\n" not in rest
        assert end in {"", "reset"}
        assert own.process.process.wait(15) == 0
