"""Keeping child processes alive: start, prefix their lines, start again with back-off, stop in order.

Law of this file: it knows processes, not what they do. A child dies with its parent (`monitor.contract.leashed`) and
runs in its own session, so that Ctrl-C reaches the supervisor alone and the order of stopping is ours. What dies is
started again for ever; only an essential child that never got ready is given up, as a fault of set-up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from monitor.contract.leashed import leashed

_CONFIG_FAULT = 2
_HEALTHY_AFTER_S = 30.0
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 15.0
_ATTEMPTS_TO_START = 3
_POLL_S = 0.2


class Child(NamedTuple):
    """What to run, where it says that it is ready, and how long it may take to stop."""

    name: str
    command: Sequence[str]
    ready_url: str
    stop_within_s: float
    # Without it nothing is worth running.
    essential: bool = False
    # Whether it reads its configuration again on SIGHUP.
    reloads: bool = False


class Ended(NamedTuple):
    """How a child's run ended."""

    status: int
    lasted_s: float
    was_ready: bool


def backoff_s(quick_ends: int) -> float:
    """Return the pause before the next start, after so many ends in quick succession (from 1)."""
    return min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2.0 ** (quick_ends - 1))


def gives_up(ended: Ended, quick_ends: int) -> bool:
    """Whether to start an essential child again makes no sense: it never got ready and will not."""
    return not ended.was_ready and (ended.status == _CONFIG_FAULT or quick_ends >= _ATTEMPTS_TO_START)


def in_words(status: int) -> str:
    """Say how a process ended."""
    if status >= 0:
        return f"ended with status {status}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-status).name}"
    return f"was killed by signal {-status}"


class Supervised:
    """One child, over all its lives."""

    def __init__(self, child: Child, say: Callable[[str, str], None]) -> None:
        self.child = child
        self.ready = asyncio.Event()
        # Ready, or ended before it was.
        self.tried = asyncio.Event()
        self.starts = 0
        self.pid: int | None = None
        self._say = say
        self._stopping = False
        self._process: asyncio.subprocess.Process | None = None

    async def run(self) -> str:
        """Keep the child running until `stop`; return why an essential one cannot be started, or nothing."""
        quick_ends = 0
        while not self._stopping:
            ended = await self._live()
            if self._stopping:
                break
            quick_ends = 1 if ended.lasted_s >= _HEALTHY_AFTER_S else quick_ends + 1
            what = f"{self.child.name} {in_words(ended.status)}"
            self.tried.set()
            if self.child.essential and gives_up(ended, quick_ends):
                return what
            pause = backoff_s(quick_ends)
            self._say("up", f"{what}; starting it again in {pause:g} s")
            await asyncio.sleep(pause)
        return ""

    async def _live(self) -> Ended:
        """Run the child once."""
        started = time.monotonic()
        # A pipe of our own: asyncio's would make wait() last until the child's children have closed it too (3.11).
        lines, given = os.pipe()
        # A child inherits what is blocked: no SIGHUP reaches it before it can ignore it (`leashed` does, then unblocks).
        # Processes are made in the first step of this call, so two starts at once cannot unblock each other too early.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
        try:
            process = await asyncio.create_subprocess_exec(
                *leashed(self.child.command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=given,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
        os.close(given)
        self._process, self.pid = process, process.pid
        self.starts += 1
        if self._stopping:  # stop() came while the process was being made
            process.terminate()
        watch = asyncio.create_task(self._watch_ready(), name=f"{self.child.name} readiness")
        try:
            await self._relay(process, lines)
            status = await process.wait()
        finally:
            watch.cancel()
            self._process, self.pid = None, None
            _signal_group(
                process.pid, signal.SIGTERM
            )  # what a killed child leaves behind would hold its ports
        return Ended(status, time.monotonic() - started, self.ready.is_set())

    async def _watch_ready(self) -> None:
        while True:
            if await answers(self.child.ready_url):
                self.ready.set()
                self.tried.set()
                return
            await asyncio.sleep(_POLL_S)

    async def _relay(self, process: asyncio.subprocess.Process, pipe: int) -> None:
        """Pass the child's lines on, whatever their length, until it closes its output or is gone."""
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipe, "rb", buffering=0)
        )
        rest = b""
        gone = asyncio.ensure_future(process.wait())
        try:
            while chunk := await _read_or_end(reader, gone):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._say(self.child.name, line.decode("utf-8", "replace"))
        finally:
            gone.cancel()
            transport.close()
        if rest:
            self._say(self.child.name, rest.decode("utf-8", "replace"))

    async def stop(self) -> None:
        """Ask the child to stop, wait as long as it may take, then kill it."""
        self._stopping = True
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), self.child.stop_within_s)
        except TimeoutError:
            self._say(
                "up", f"{self.child.name} did not stop within {self.child.stop_within_s:g} s; killing it"
            )
            self.kill()
            await process.wait()

    def reload(self) -> bool:
        """Ask the child to read its configuration again, if it can and runs; tell whether it was asked."""
        process = self._process
        if not self.child.reloads or process is None or not self.ready.is_set():
            return False
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGHUP)
        return True

    def kill(self) -> None:
        """Kill the child and whatever it started."""
        self._stopping = True
        if self.pid is not None:
            _signal_group(self.pid, signal.SIGKILL)


def _signal_group(pid: int, number: signal.Signals) -> None:
    """Signal everything in the session that this child began."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


async def _read_or_end(stream: asyncio.StreamReader, gone: asyncio.Future[int]) -> bytes:
    """Read what there is; nothing once the process is gone, even where its own children hold the pipe open."""
    read = asyncio.ensure_future(stream.read(1 << 16))
    first: set[asyncio.Future[Any]] = {read, gone}
    await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    if not read.done():
        await asyncio.wait({read}, timeout=_POLL_S)
    if read.done():
        return read.result()
    read.cancel()
    return b""


async def answers(url: str) -> bool:
    """Whether an HTTP GET of this plain URL is answered with 200 within a second."""
    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.rpartition(":")
    try:
        async with asyncio.timeout(1.0):
            reader, writer = await asyncio.open_connection(name.strip("[]"), int(port))
            try:
                writer.write(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                return (await reader.readline()).split(b" ")[1:2] == [b"200"]
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
