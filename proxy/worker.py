"""A worker process: one event loop that serves, one thread that mirrors, one that fetches verdicts.

Law: a worker gets everything it needs (configuration, listening socket, its name) from its parent through standard
input, which then stays open as a lifeline: new configurations come through it, and when it ends, the parent is gone
and the worker drains. A new configuration is prepared whole before it is taken over between two requests. SIGTERM: not
ready at once, serve new connections for `proxy.lame_duck_s` more, stop accepting, finish running responses within
`proxy.drain_s`, flush the mirror, exit 0.
"""

from __future__ import annotations

import asyncio
import gc
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import structlog
import uvloop

from monitor.bus import Bus
from monitor.bus.open import open_bus
from monitor.contract.config import Config
from monitor.contract.logs import set_up_logs
from proxy.app import ProxyApp
from proxy.assemble import Assembler
from proxy.file_limit import FileWatch, file_limit, room_within
from proxy.forward import Forwarder, Site
from proxy.http_server import make_server
from proxy.lifeline import Inbox, first_message
from proxy.log import UNSAID, log_loop_fault
from proxy.mirror import Clock, Mirror, MirrorWriter
from proxy.redact import Redactor
from proxy.routing import Router, arms, build_router
from proxy.scoreboard import Scoreboard
from proxy.slots import LOOP
from proxy.status import Surroundings
from proxy.tls import for_clients, load_own
from proxy.tracing import make_describer, make_tracer
from proxy.transport import Transport
from proxy.transport.open import open_transports, settings_of
from proxy.verdicts import VerdictBoard, VerdictPoller, stale_after

log = structlog.get_logger(__name__)

# The mirror's thread may hold the interpreter at most this long while a request waits for it (default: 5 ms).
SWITCH_S = 0.0005
# How long the last flush may take after the last response.
FLUSH_S = 5.0
# And that of the traces after it.
SPANS_FLUSH_S = 3.0
# A decoded body may be this many times larger than the largest one that is kept.
DECODED_RATIO = 8


class WorkerSpec(NamedTuple):
    """What a worker is told by its parent."""

    config: Config
    version: str
    producer: str
    number: int
    socket_fd: int
    salt: bytes
    directory: Path


class Worker:
    """The parts of a worker, put together. To be made in the running loop."""

    def __init__(self, spec: WorkerSpec) -> None:
        config = spec.config
        self.spec = spec
        self.board = Scoreboard(spec.directory, spec.producer)
        if not self.board.mapped:
            where = str(spec.directory)
            log.error("no room for counters in state_dir, a kill would lose them", directory=where)
        clock = Clock()
        router = build_router(config)
        self.mirror = Mirror(config.mirror, self.board, spec.salt, clock)
        self.writer = MirrorWriter(
            self.mirror, self.board, make_assembler(spec), self._open_bus, config.mirror.flush_s
        )
        self.tracer = make_tracer(config, make_describer(config, router), self.board, spec.version)
        self.writer.observe = None if self.tracer is None else self.tracer.observe
        self.verdicts = VerdictBoard(arms(router), stale_after(config))
        self.poller = VerdictPoller(self.verdicts, self._open_bus)
        self.transports = open_transports(config)
        self.forwarder = Forwarder(self._site(router, config))
        self.app = ProxyApp(self.forwarder, self._surroundings())
        self.server = make_server(
            self.app,
            config.proxy.drain_s,
            self.drain,
            limits=config.proxy.limits,
            count=self.board.add,
            room=room_within(file_limit()),
        )
        self.server.config.load()
        self.server.config.ssl = for_clients(config.proxy.tls)
        # Set when readiness is to say no, which is the lame duck's time before `forwarder.draining`.
        self.leaving = False
        self._retiring: set[asyncio.Task[None]] = set()

    def _site(self, router: Router, config: Config) -> Site:
        return Site(
            router,
            self.transports,
            self.mirror,
            self.board,
            self.verdicts,
            config.proxy.headers == "on",
            config.proxy.server_timing,
            self.tracer is not None,
        )

    def reconfigure(self, config: Config) -> None:
        """Serve what comes from now on with another configuration; what runs goes on as it began."""
        router, assemble = build_router(config), make_assembler(self.spec._replace(config=config))
        if self.server.config.ssl is not None:
            load_own(self.server.config.ssl, config.proxy.tls)
        before = self.transports
        same = settings_of(config) == settings_of(self.spec.config)
        self.transports = open_transports(config, before if same else {})
        self.spec = self.spec._replace(config=config)
        self.mirror.reconfigure(config.mirror)
        self.writer.reconfigure(assemble, config.mirror.flush_s)
        if self.tracer is not None:
            self.tracer.describe = make_describer(config, router)
        self.verdicts.reconfigure(arms(router), stale_after(config), time.time())
        self.forwarder.site = self._site(router, config)
        self.app.reconfigure(self._surroundings())
        self.server.config.limits = config.proxy.limits
        self.server.config.timeout_graceful_shutdown = math.ceil(config.proxy.drain_s)
        self._retire([gone for gone in before.values() if gone not in self.transports.values()])

    def _retire(self, transports: Sequence[Transport]) -> None:
        """Close transports when the last exchange that may use them is over."""
        if transports:
            task = asyncio.create_task(
                _close_after(set(self.server.server_state.tasks), transports), name="retire"
            )
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    def _open_bus(self) -> Bus:
        return open_bus(self.spec.config)

    def _surroundings(self) -> Surroundings:
        spec, in_full = self.spec, self.spec.config.admin.token is not None  # its holder is an operator
        return Surroundings(
            spec.config,
            spec.version,
            spec.directory,
            self.verdicts,
            lambda: not self.leaving,
            time.time,
            in_full,
        )

    async def serve(self) -> None:
        """Serve until the server is stopped, then flush."""
        self.writer.start()
        self.poller.start()
        if self.tracer is not None:
            self.tracer.start()
        ticking = asyncio.create_task(self._tick(), name="tick")
        listener = socket.socket(fileno=self.spec.socket_fd)
        self.board.put("started", 1)
        await self.server.serve(sockets=[listener])
        ticking.cancel()
        if self._retiring:
            await asyncio.wait(self._retiring, timeout=1.0)
        for transport in self.transports.values():
            await transport.close()
        await asyncio.to_thread(self._flush)

    def leave(self) -> None:
        """Say that we are not ready, and stop accepting when those who send us traffic had time to hear it."""
        lame_duck_s = 0.0 if self.leaving else self.spec.config.proxy.lame_duck_s
        self.leaving = True
        self.board.put("started", 0)
        if lame_duck_s:
            asyncio.get_running_loop().call_later(lame_duck_s, self._end_lame_duck)
        else:
            self.server.stop()

    def _end_lame_duck(self) -> None:
        # Asked again meanwhile, it has stopped already, and to ask twice means hurry.
        if not self.server.should_exit:
            self.server.stop()

    def drain(self) -> None:
        """Note that nothing new is accepted."""
        self.leaving = self.forwarder.draining = True
        self.board.put("started", 0)

    def _flush(self) -> None:
        self.poller.stop()
        written = self.writer.stop(FLUSH_S)
        if not written:
            log.error("bus hangs, what is left of the mirror is counted as lost")
        # Behind the writer, which still gives it spans. A thread that hangs needs the board to the end.
        sent = self.tracer is None or self.tracer.stop(SPANS_FLUSH_S)
        if written and sent:
            self.board.close()

    async def _tick(self) -> None:
        clock = self.mirror.clock.monotonic
        files = FileWatch(self.board, file_limit())
        while True:
            self.verdicts.refresh(time.time())
            self.board.put("queue_exchanges", self.writer.waiting)
            self.board.put("queue_bytes", max(0, self.mirror.budget.used))
            files.look(clock())
            self.board.copy()
            due = clock() + 1.0
            await asyncio.sleep(1.0)
            # How late the loop is: what any event of this second may have waited before it was looked at.
            self.board.observe(LOOP, max(0.0, clock() - due))


def make_assembler(spec: WorkerSpec) -> Assembler:
    """Prepare assembling from the configuration."""
    mirror = spec.config.mirror
    redactor = Redactor(mirror.redact, mirror.redact_patterns)
    return Assembler(redactor, spec.salt, mirror.max_body_bytes * DECODED_RATIO)


async def _close_after(running: set[asyncio.Task[None]], transports: Sequence[Transport]) -> None:
    if running:
        await asyncio.wait(running)
    for transport in transports:
        await transport.close()


def spare_collecting() -> None:
    """Keep the serving thread from waiting for the garbage collector.

    Requests leave no cycles behind, so what the collector finds is little and may wait; what the start has made stays.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


async def run_worker(spec: WorkerSpec) -> None:
    """Serve until told to stop."""
    worker = Worker(spec)
    spare_collecting()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_loop_fault)
    loop.add_signal_handler(signal.SIGTERM, worker.leave)
    loop.add_reader(0, _lifeline_moved, loop, worker, Inbox())
    await worker.serve()


def _lifeline_moved(loop: asyncio.AbstractEventLoop, worker: Worker, inbox: Inbox) -> None:
    data = os.read(0, 65536)
    for config in inbox.feed(data):
        try:
            worker.reconfigure(config)
        except (OSError, ValueError):
            log.exception("configuration cannot be taken over here, the old one stays")
    if not data:
        loop.remove_reader(0)
        log.warning("parent is gone, draining")
        worker.server.stop()


def main() -> int:
    """Read the specification from standard input and serve."""
    # Ctrl-C and a terminal's end reach the whole group of processes; the parent passes on what they mean.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    spec: WorkerSpec = first_message(partial(os.read, 0))
    set_up_logs(spec.config.log, "proxy", unsaid=UNSAID, worker=spec.number)
    sys.setswitchinterval(SWITCH_S)
    uvloop.run(run_worker(spec))
    return 0


if __name__ == "__main__":
    # Daemon threads that hang in the bus must not keep the process.
    sys.exit(main())
