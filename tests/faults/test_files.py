"""A limit of open files that is too low: raised where it may be; where not, clients are told, counted, and not kept out."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from tests.conformance.site import Site
from tests.conformance.upstream import answering
from tests.conformance.wire import ANSWER, Message, Wire, chunk, response, stream_head, until
from tests.faults.conftest import Starting
from tests.faults.counting import settled

EVENT = b"data: {}\n\n"
CLIENTS = 200


def limits_of(pid: int) -> list[str]:
    """Return a process's soft and hard limit of open files."""
    rows = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(row.split()[3:5] for row in rows if row.startswith("Max open files"))


def test_a_soft_limit_is_raised(start: Starting) -> None:
    """Parent and worker have the hard limit, and the log says so."""
    site = start(files="-Sn 256")
    assert site.process
    soft, hard = limits_of(site.worker())
    assert soft == hard
    (line,) = site.process.logged("file limit")
    assert (line["before"], line["files"]) == (256, int(hard))


def ask(site: Site) -> tuple[Wire, Message | None]:
    """Ask for a stream; return its head, a refusal that is read to its end, or nothing where there was no word."""
    wire = site.connect()
    try:
        wire.send(site.posting(site.chat(stream=True)))
        head = wire.head()
        return wire, head if head.status == 200 else wire.body(head)
    except (EOFError, OSError):
        return wire, None


def test_more_clients_than_files(start: Starting) -> None:
    """Those there is room for are served, the others told 503 at once; all are counted, with few lines in the log."""
    site = start(files="-n 256")
    proxy = site.process
    assert proxy

    def streaming(head: Message, wire: Wire) -> None:
        wire.body(head)
        wire.send(stream_head() + chunk(EVENT))
        wire.gone(30.0)

    site.upstream.start(streaming)
    told, streams = [], 0
    for _ in range(CLIENTS):
        wire, got = ask(site)
        if got and got.status == 200:
            streams += 1
        else:
            told += [got] if got else []
            wire.close()
    # Half of what 64 kept ones leave of 256.
    assert 90 <= streams <= 96
    assert len(told) > 90
    assert {(got.status, got.values(b"drift-error")[0]) for got in told} == {(503, b"too_many_connections")}
    faults = site.status()["requests"]["faults"]
    assert faults == {"too_many_connections": CLIENTS - streams}
    until(lambda: proxy.logged("file limit reached"))
    assert sum(line["refused"] for line in proxy.logged("file limit reached")) > 0
    assert len(proxy.logged("file limit reached")) <= 2
    site.hang_up()
    settled(site)
    site.upstream.start(answering(site.upstream, response(ANSWER)))
    until(lambda: site.post(site.chat()).status == 200)


def test_silent_clients_keep_nobody_out_for_long(start: Starting) -> None:
    """More than there is room for, half of them with half a head: their time over, others are served; all are counted."""
    site = start(files="-n 256", proxy={"limits": {"head_s": 1.0}})
    proxy = site.process
    assert proxy
    wires = [site.connect() for _ in range(CLIENTS)]
    for wire in wires[::2]:
        with contextlib.suppress(OSError):
            wire.send(b"GET /v1/models HT")
    began = time.monotonic()

    def served() -> bool:
        try:
            return site.post(site.chat()).status == 200
        except (EOFError, OSError):
            return False

    until(served)
    assert time.monotonic() - began < 5.0
    assert all(wire.gone(5.0) for wire in wires)
    metrics = (proxy.get(proxy.admin + "/metrics") or b"").decode()
    counted = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
    silent = float(counted['driftgate_connections_closed_total{reason="silent"}'])
    halves = float(counted['driftgate_faults_total{code="head_timeout"}'])
    refused = float(counted['driftgate_faults_total{code="too_many_connections"}'])
    assert silent > 10
    assert halves > 10
    assert silent + halves + refused >= CLIENTS
