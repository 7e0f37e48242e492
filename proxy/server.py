"""The proxy's parent process: binds, starts workers, restarts them, serves the admin listener, settles counts.

Law: the parent never touches clients' traffic. It holds the listening socket, so that a dead worker's backlog is
served by the others, and the admin listener, so that metrics and status stay reachable when workers die and cost
the serving loops nothing. SIGHUP: read the configuration again and hand it to the workers; one that is wrong changes
nothing. Exit status: 0 after SIGTERM or SIGINT, 1 when workers cannot run, 2 when it cannot listen.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import structlog
from starlette.types import ASGIApp

from monitor.bus.open import open_bus
from monitor.contract.config import Config, ConfigError, split_address
from monitor.contract.logs import set_up_logs
from proxy.app import Replaceable
from proxy.file_limit import raise_file_limit, room_within
from proxy.http_server import make_server
from proxy.lifeline import message
from proxy.log import UNSAID
from proxy.metrics import metrics_route
from proxy.reload import Terminal, plan_reload
from proxy.routing import arms, build_router
from proxy.scoreboard import read_scoreboards
from proxy.settling import EVERY_S, Settler, proxy_name
from proxy.status import Surroundings, own_app, own_routes, shown_url
from proxy.tls import check_tls
from proxy.tracing import check_traces
from proxy.verdicts import VerdictBoard, VerdictPoller, stale_after
from proxy.worker import FLUSH_S, SPANS_FLUSH_S, WorkerSpec

log = structlog.get_logger(__name__)

# How long a start waits for the port while an earlier parent's workers still let go of it.
BIND_PATIENCE_S = 3.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
# A worker that lived this long was well; its end is no reason to wait longer.
WELL_S = 10.0
# What a worker may take after its last response: for the mirror, the traces, and its threads to end.
LAST_S = 2.0 * FLUSH_S + SPANS_FLUSH_S + 2.0
# So many workers in a row that end at once mean that none will ever run.
HOPELESS = 5


class CannotListen(OSError):
    """An address cannot be listened on; the message is one line for a person."""


def run_proxy(load: Callable[[], Config]) -> int:
    """Run until SIGTERM or SIGINT; return the exit status. `load` reads the configuration and raises ConfigError."""
    config = _checked(load)
    set_up_logs(config.log, "proxy", unsaid=UNSAID)
    before, files = raise_file_limit()
    directory = Path(config.state_dir) / "proxy"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        salt = _install_salt(directory / "salt")
        listener = _bind("proxy.listen", config.proxy.listen, directory)
        admin = _bind("admin.listen", config.admin.listen, directory)
    except CannotListen as error:
        print(f"driftgate: {error}", file=sys.stderr)  # noqa: T201 - one line for the person at the terminal
        return 2
    except OSError as error:
        print(f"driftgate: state_dir {config.state_dir!r}: {error.strerror}", file=sys.stderr)  # noqa: T201 - as above
        return 2
    log.info("file limit", files=files, before=before, clients_of_a_worker=room_within(files).clients)
    return asyncio.run(Parent(config, load, directory, salt).run(listener, admin))


def _checked(load: Callable[[], Config]) -> Config:
    """Read the configuration and look for the certificates and libraries that it needs. Raises ConfigError."""
    config = load()
    check_tls(config.proxy.tls)
    check_traces(config.proxy.traces)
    return config


def _bind(key: str, address: str, directory: Path) -> socket.socket:
    host, port = split_address(address)
    deadline = time.monotonic() + BIND_PATIENCE_S
    while True:
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            return socket.create_server((host, port), family=family, backlog=2048)
        except OSError as error:
            in_use = error.errno == errno.EADDRINUSE
            if not in_use or time.monotonic() > deadline or not read_scoreboards(directory).workers:
                reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
                raise CannotListen(f"{key}: cannot listen on {address}: {reason}") from None
            time.sleep(0.1)


def _install_salt(path: Path) -> bytes:
    """Return this installation's salt for hashes of users; make it at the first start."""
    if not path.exists() or not path.stat().st_size:  # empty after a power cut: hashes would be guessable
        temporary = path.with_suffix(".new")
        temporary.touch(mode=0o600)
        temporary.write_bytes(secrets.token_bytes(32))
        temporary.replace(path)
    return path.read_bytes()


class Parent:
    """Keeps workers running."""

    def __init__(self, config: Config, load: Callable[[], Config], directory: Path, salt: bytes) -> None:
        self._config = config
        self._load = load
        self._terminal = Terminal()
        self._directory = directory
        self._salt = salt
        self._version = version("driftgate")
        self._stopping = asyncio.Event()
        self._hopeless = False
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._listener: socket.socket | None = None
        self._settler = Settler(directory, proxy_name(salt), lambda: open_bus(config, busy_s=1.0), time.time)
        self._verdicts = VerdictBoard(arms(build_router(config)), stale_after(config))
        self._admin_app = Replaceable(self._own_app())

    async def run(self, listener: socket.socket, admin: socket.socket) -> int:
        """Run until told to stop."""
        self._listener = listener
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up_or_reload)
        poller = VerdictPoller(self._verdicts, lambda: open_bus(self._config))
        poller.start()
        admin_server = make_server(self._admin_app, 1.0)
        settling = asyncio.create_task(self._settle_often(), name="settle")
        serving = asyncio.create_task(admin_server.serve(sockets=[admin]), name="admin")
        _announce(self._config, listener, admin)
        workers = [
            asyncio.create_task(self._keep_worker(index, listener), name=f"worker-{index}")
            for index in range(self._config.proxy.workers)
        ]
        await asyncio.gather(*workers)
        settling.cancel()
        await asyncio.to_thread(self._settler.settle)
        admin_server.stop()
        await serving
        await asyncio.to_thread(poller.stop)
        return 1 if self._hopeless else 0

    def _own_app(self) -> ASGIApp:
        view = Surroundings(
            self._config, self._version, self._directory, self._verdicts, self._accepting, time.time
        )
        return own_app([*own_routes(view), metrics_route(view)], self._config.admin.token)

    def _accepting(self) -> bool:
        return not self._stopping.is_set() and read_scoreboards(self._directory).accepting

    def _hung_up_or_reload(self) -> None:
        if self._terminal.hung_up():
            self._stop()
        elif not self._stopping.is_set():
            self._reload()

    def _reload(self) -> None:
        """Read the configuration again and go on with what of it needs no restart."""
        try:
            plan = plan_reload(self._config, _checked(self._load))
        except ConfigError as error:
            log.warning("configuration refused, the old one stays", reason=str(error))
            return
        self._config = plan.config
        self._verdicts.reconfigure(arms(build_router(plan.config)), stale_after(plan.config), time.time())
        self._admin_app.app = self._own_app()
        for process in self._processes.values():
            if process.returncode is None and process.stdin is not None:
                process.stdin.write(message(plan.config))
        log.info("configuration reloaded", changed=plan.taken_over)
        if plan.need_restart or plan.others:
            log.warning(
                "configuration needs a restart", of_proxy=plan.need_restart, of_the_others=plan.others
            )

    def _stop(self) -> None:
        """Let the workers drain; asked twice, let them hurry."""
        if self._listener is not None:
            hurry = self._stopping.is_set() or self._hopeless
            lame_duck_s = 0.0 if hurry else self._config.proxy.lame_duck_s
            # Held open any longer it would take connections in that nobody serves any more.
            asyncio.get_running_loop().call_later(lame_duck_s, self._listener.close)
        if self._stopping.is_set():
            for process in self._processes.values():
                if process.returncode is None:
                    process.terminate()
        self._stopping.set()

    async def _keep_worker(self, index: int, listener: socket.socket) -> None:
        pause, short_lives = FIRST_PAUSE_S, 0
        while not self._stopping.is_set():
            began = time.monotonic()
            process = await self._spawn(index, listener)
            code = await self._ended(process)
            if self._stopping.is_set():
                return
            lived = time.monotonic() - began
            pause = FIRST_PAUSE_S if lived > WELL_S else min(2.0 * pause, LONGEST_PAUSE_S)
            log.error(
                "worker ended", index=index, exit_status=code, lived_s=round(lived, 1), restart_in_s=pause
            )
            short_lives = short_lives + 1 if lived < 1.0 else 0
            if short_lives >= HOPELESS:
                self._hopeless = True
                self._stop()
                return
            await self._sleep(pause)

    async def _spawn(self, index: int, listener: socket.socket) -> asyncio.subprocess.Process:
        producer = f"proxy-{index}-{secrets.token_hex(8)}"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "proxy.worker", stdin=asyncio.subprocess.PIPE, pass_fds=(listener.fileno(),)
        )
        self._processes[index] = process
        if process.stdin is not None:
            # The configuration as it is now. Left open: its end tells the worker that we are gone.
            spec = WorkerSpec(
                self._config, self._version, producer, index, listener.fileno(), self._salt, self._directory
            )
            process.stdin.write(message(spec))
        return process

    async def _ended(self, process: asyncio.subprocess.Process) -> int:
        """Wait for a worker's end; once stopping, kill one that outlasts every deadline it was given."""
        waiting = asyncio.create_task(process.wait(), name="worker-end")
        await asyncio.wait(
            {waiting, asyncio.create_task(self._stopping.wait())}, return_when="FIRST_COMPLETED"
        )
        patience = self._config.proxy.lame_duck_s + self._config.proxy.drain_s + LAST_S
        if not waiting.done():
            if process.returncode is None:
                process.terminate()
            await asyncio.wait({waiting}, timeout=patience)
        if not waiting.done():
            log.error("worker does not end, killing it", pid=process.pid)
            process.kill()
        return await waiting

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    async def _settle_often(self) -> None:
        while True:
            await asyncio.to_thread(self._settler.settle)
            await asyncio.sleep(EVERY_S)


def _announce(config: Config, listener: socket.socket, admin: socket.socket) -> None:
    log.info(
        "proxy listens",
        listen=_address(listener),
        admin=_address(admin),
        upstream=shown_url(config.proxy.upstream),
        workers=config.proxy.workers,
        state=config.state_dir,
    )


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
