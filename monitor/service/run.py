"""The process: opens what the monitor works with, runs the loop on a thread and the HTTP server beside it.

Law of this file: what a person must put right (configuration, files, addresses) is one line on stderr and exit
status 2. SIGTERM and SIGINT end the loop after the lot in hand; then leases are free and the exit status is 0.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import structlog
import uvicorn

from monitor.bus import BusError
from monitor.bus.open import open_bus
from monitor.contract.config import Config, split_address
from monitor.contract.logs import set_up_logs
from monitor.offline.exchange_file import ExchangeFileError
from monitor.scorer import Scorer
from monitor.scorer.local import RepositoryFault
from monitor.scorer.open import open_scorer
from monitor.service.app import CreateBaseline, build_app
from monitor.service.canaries import read_prompts
from monitor.service.feedback import FeedbackDesk
from monitor.service.health import Health
from monitor.service.learning import Source, create, file_sources, period_source
from monitor.service.pipeline import Parts
from monitor.service.review import ReviewDesk
from monitor.service.runner import Runner
from monitor.service.slot import Slot, take_slot
from monitor.service.status import StatusReader
from monitor.store import Listed, Store, StoreError, open_store
from monitor.threads import use_one_thread

_log = structlog.get_logger()

OpenScorer = Callable[[Config], Scorer]


class StartFault(RuntimeError):
    """The monitor cannot start as configured; the message is one line."""


def run_monitor(config: Config, *, scorer_from: OpenScorer = open_scorer) -> int:
    """Run the monitor until it is told to stop. Returns the exit status: 0, or 2 for what a person must put right."""
    set_up_logs(config.log, "monitor")
    use_one_thread()
    try:
        with ExitStack() as stack:
            asyncio.run(_serve(config, scorer_from, stack))
    except (BusError, StoreError, ExchangeFileError, RepositoryFault, StartFault) as error:
        sys.stderr.write(f"driftgate: {error}\n")
        return 2
    return 0


async def _serve(config: Config, scorer_from: OpenScorer, stack: ExitStack) -> None:
    listener = stack.enter_context(_listener(config.monitor.listen))
    parts = _open_parts(config, scorer_from, stack)
    health = Health(started_at=parts.clock())
    slot = stack.enter_context(closing(_slot(config)))
    sources = _first_sources(config, parts.store)
    runner = Runner(slot.name, parts, health, sources, read_prompts(config))
    store = stack.enter_context(closing(open_store(config.store_path)))
    reader = StatusReader(config, store, stack.enter_context(closing(open_bus(config))), health, parts.clock)
    app = build_app(
        reader,
        health,
        _creator(config, scorer_from),
        token=config.monitor.token,
        clock=parts.clock,
        desk=ReviewDesk(stack.enter_context(closing(open_store(config.store_path))), parts.clock),
        feedback=FeedbackDesk(
            stack.enter_context(closing(open_store(config.store_path))),
            [route.name for route in config.routes],
            parts.clock,
        ),
    )
    server = _Server(
        uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=3)
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, runner.stop.set)
    host, port = listener.getsockname()[:2]
    _log.info(
        "monitor running", listen=f"{host}:{port}", bus=str(config.bus_path), store=str(config.store_path)
    )
    await _both(runner, server, listener)
    if health.fatal:
        raise StartFault(health.fatal)


async def _both(runner: Runner, server: uvicorn.Server, listener: socket.socket) -> None:
    """Run loop and server until the loop has ended, which it does when either is told to stop."""
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="monitor http")
    serving.add_done_callback(lambda _: runner.stop.set())
    try:
        await asyncio.to_thread(runner.run)
    finally:
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """Leaves signals to us: the loop has work to finish before the process may go."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _open_parts(config: Config, scorer_from: OpenScorer, stack: ExitStack) -> Parts:
    bus = stack.enter_context(closing(open_bus(config)))
    store = stack.enter_context(closing(open_store(config.store_path)))
    scorer = stack.enter_context(closing(scorer_from(config)))
    return Parts(config, bus, store, scorer, time.time)


def _listener(address: str) -> socket.socket:
    host, port = split_address(address)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        known = (
            error.errno is not None and error.errno > 0
        )  # a name that cannot be resolved has a code of its own
        reason = os.strerror(error.errno) if known and error.errno else str(error)
        raise StartFault(f"monitor.listen: cannot listen on {address} ({reason})") from error


def _slot(config: Config) -> Slot:
    try:
        return take_slot(Path(config.state_dir))
    except OSError as error:
        raise StartFault(f"state_dir: {config.state_dir}: {error.strerror or error}") from error


def _first_sources(config: Config, store: Store) -> list[Source]:
    """Return what `baseline.file` gives each route that has no baseline of that file yet. Raises StartFault."""
    if not config.baseline.file:
        return []
    had = {(row.route, row.origin) for row in store.baselines.listed()}
    names = [route.name for route in config.routes]
    sources = file_sources(
        config.baseline.file, names, lambda what: _log.warning("lines of baseline.file skipped", what=what)
    )
    if not sources:
        raise StartFault(f"baseline.file: {config.baseline.file}: has no exchange of a configured route")
    return [source for source in sources if (source.route, source.origin) not in had]


def _creator(config: Config, scorer_from: OpenScorer) -> Callable[[CreateBaseline], Listed]:
    def create_from_period(wanted: CreateBaseline) -> Listed:
        with ExitStack() as stack:
            parts = _open_parts(config, scorer_from, stack)
            period = (wanted.since, wanted.until)
            source = period_source(parts.bus, wanted.route, period, config.baseline.size)
            made = create(parts.store, parts.scorer, source, config.baseline, parts.clock())
            listed = {(row.route, row.id): row for row in parts.store.baselines.listed()}
            return listed[made.route, made.id]

    return create_from_period
