"""Running the embedded Triton: start, wait until it is ready, stop, and leave nothing behind.

Law of this file: it carries out a `monitor.triton.plan.Plan`. Whatever ends the start (a model that does not load, a
deadline, a crash) becomes one `TritonFault`. The server dies with the process that started it, and the stub processes
and shared memory that its Python backend leaves after a kill are removed before the next start.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import FrameType
from typing import BinaryIO

import structlog

from monitor.contract.config import Config
from monitor.contract.leashed import leashed
from monitor.scorer.open import model_repository
from monitor.triton.plan import (
    Plan,
    Ports,
    TritonFault,
    check_ports,
    check_repository,
    find_installation,
    plan,
)

START_S = 60.0
STOP_S = 15.0
_POLL_S = 0.1
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps shared memory, not a temporary file
_STUB = b"triton_python_backend_stub"
# What Triton logs about a model that does not load, the reason last.
_NOT_LOADED = re.compile(r"failed to load '(?P<model>[^']+)'[^:]*: (?P<reason>.+)")
_NOT_READ = re.compile(r"Poll failed for model directory '(?P<model>[^']+)': (?P<reason>.+)")
# Where the Python backend's stack begins, as written in the log; the log itself is named for those who want it.
_STACK = "\\n\\nAt:"

log = structlog.get_logger("driftgate.triton")


class TritonServer:
    """One running server."""

    def __init__(self, plan: Plan) -> None:
        """Start it. Raises TritonFault when it cannot even be started."""
        self.plan = plan
        with _output(plan) as output:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - the command is ours
                    leashed(plan.command),
                    env=plan.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            except OSError as error:
                raise TritonFault(f"the embedded Triton cannot be started: {error.strerror}") from None

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    def wait_ready(self, deadline_s: float = START_S) -> None:
        """Return when every model is loaded. Raises TritonFault; the server is stopped then."""
        url = f"http://127.0.0.1:{self.plan.ports.http}/v2/health/ready"
        end = time.monotonic() + deadline_s
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise TritonFault(explain_exit(_read_log(self.plan.log), self._process.returncode, self.plan))
            if _answers(url):
                return
            time.sleep(_POLL_S)
        self.stop()
        raise TritonFault(
            f"the embedded Triton is not ready after {deadline_s:.0f} s; its log: {self.plan.log}"
        )

    def wait(self) -> int:
        """Wait until the server ends and return its exit status."""
        return self._process.wait()

    def ask_to_stop(self) -> None:
        """Ask the server to finish what it has and end."""
        self._process.terminate()

    def stop(self) -> None:
        """Stop it, by force if it does not end by itself, and remove its shared memory. Harmless when it is gone."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        _remove_leftovers(self.plan.memory_prefix)


def explain_exit(output: str, status: int, plan: Plan) -> str:
    """Say in one line why the server ended before it was ready."""
    if found := _NOT_LOADED.search(output) or _NOT_READ.search(output):
        reason = found["reason"].partition(_STACK)[0].strip().strip('"')
        return (
            f"model repository {plan.repository} does not load: {found['model']}: {reason}; log: {plan.log}"
        )
    errors = [line for line in output.splitlines() if line.startswith(("error:", "E", "I/O"))]
    last = errors[-1] if errors else (output.strip().splitlines() or ["no output"])[-1]
    return f"the embedded Triton ended at start with status {status}: {last.strip()}; log: {plan.log}"


def plan_server(config: Config) -> Plan:
    """Find and check everything that the configured server needs. Raises TritonFault."""
    ports = Ports(config.scoring.http_port, config.scoring.grpc_port, config.scoring.metrics_port)
    repository = model_repository(config)
    installation = find_installation()
    check_repository(repository)
    check_ports(ports)
    # The server inherits our environment (CUDA devices, caches); no setting of ours is read from it.
    return plan(installation, repository.resolve(), ports, Path(config.state_dir).resolve(), os.environ)


def run_triton(config: Config) -> int:
    """Run the configured server until a signal or its end; return the exit status of `driftgate triton`.

    0 after SIGTERM or SIGINT, 2 when configuration or machine do not allow it, 1 when the server ended by itself.
    """
    try:
        server = TritonServer(plan_server(config))
    except TritonFault as fault:
        sys.stderr.write(f"driftgate: {fault}\n")
        return 2
    stopping = False

    def forward(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        server.ask_to_stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, forward)
    try:
        server.wait_ready()
        ports = server.plan.ports
        log.info("triton ready", grpc=ports.grpc, http=ports.http, metrics=ports.metrics, pid=server.pid)
        status = server.wait()
    except TritonFault as fault:
        if stopping:
            return 0
        sys.stderr.write(f"driftgate: {fault}\n")
        return 2
    finally:
        server.stop()
    if not stopping:
        log.error("triton ended", status=status, log=str(server.plan.log))
    return 0 if stopping else 1


def _output(plan: Plan) -> BinaryIO:
    """Prepare the server's folder and open its log. Raises TritonFault."""
    try:
        _prepare(plan)
        return plan.log.open("wb")
    except OSError as error:
        raise TritonFault(f"state_dir {str(plan.log.parent)!r}: {error.strerror}") from None


def _prepare(plan: Plan) -> None:
    """Put the backend directory together and remove what a killed server left."""
    plan.log.parent.mkdir(parents=True, exist_ok=True)
    for link, target in plan.links.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    _remove_leftovers(plan.memory_prefix)


def _remove_leftovers(prefix: str) -> None:
    """End the stubs and remove the shared memory that a killed server of this port left; both carry the prefix."""
    for arguments in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = arguments.read_bytes().split(b"\0")
            if words[0].endswith(_STUB) and any(word.startswith(prefix.encode()) for word in words):
                os.kill(int(arguments.parent.name), signal.SIGKILL)
        except OSError:
            continue  # it ended meanwhile, or is not ours
    for region in _SHARED_MEMORY.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as response:  # noqa: S310 - our own loopback address
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _read_log(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
