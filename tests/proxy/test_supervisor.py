"""Children are kept alive, started again with back-off, stopped in order, and die with their parent."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.supervisor import Child, Ended, Supervised, answers, backoff_s, gives_up, in_words

# A child that answers every GET with 200 and says when it is told to stop.
SERVER = """
import http.server, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("content-length", "0"); self.end_headers()
    def log_message(self, *_): pass
def stop(*_):
    print("stopping", flush=True); sys.exit(0)
signal.signal(signal.SIGTERM, stop)
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print("serving", flush=True)
server.serve_forever()
"""


def free_port() -> int:
    """Return a port that was free a moment ago."""
    import socket  # noqa: PLC0415 needed here only

    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def child(
    code: str,
    *arguments: str,
    url: str = "http://127.0.0.1:9/",
    stop_within_s: float = 10.0,
    essential: bool = True,
) -> Child:
    """Make a child that runs this Python code."""
    return Child("child", [sys.executable, "-c", code, *arguments], url, stop_within_s, essential)


def server_child() -> Child:
    """Make a child that becomes ready."""
    port = free_port()
    return child(SERVER, str(port), url=f"http://127.0.0.1:{port}/ready")


async def until(holds: Callable[[], bool], within_s: float = 20.0) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 what is waited for happens in other processes
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(plan: Child) -> AsyncIterator[tuple[Supervised, list[str], Awaitable[str]]]:
    """Run a child under supervision; its lines and ours are collected."""
    lines: list[str] = []
    supervised = Supervised(plan, lambda name, line: lines.append(f"{name}: {line}"))
    life = asyncio.create_task(supervised.run())
    try:
        yield supervised, lines, life
    finally:
        supervised.kill()
        await life


@pytest.mark.parametrize(("quick_ends", "pause"), [(1, 0.5), (2, 1.0), (3, 2.0), (9, 15.0)])
def test_pauses_grow_up_to_a_limit(quick_ends: int, pause: float):
    """Doubling from half a second to a quarter of a minute."""
    assert backoff_s(quick_ends) == pause


@pytest.mark.parametrize(
    ("ended", "quick_ends", "expected"),
    [
        (Ended(2, 0.1, was_ready=False), 1, True),
        (Ended(1, 0.1, was_ready=False), 2, False),
        (Ended(1, 0.1, was_ready=False), 3, True),
        (Ended(-9, 0.1, was_ready=True), 50, False),
        (Ended(2, 0.1, was_ready=True), 1, False),
    ],
)
def test_only_what_never_got_ready_is_given_up(ended: Ended, quick_ends: int, *, expected: bool):
    """At once where the configuration is wrong, after three attempts otherwise."""
    assert gives_up(ended, quick_ends) is expected


def test_ends_are_told_in_words():
    """A status, a signal with a name, a signal without."""
    assert in_words(1) == "ended with status 1"
    assert in_words(-9) == "was killed by SIGKILL"
    assert in_words(-200) == "was killed by signal 200"


async def test_a_killed_child_is_started_again():
    """SIGKILL of a child that was ready is survived, and said."""
    async with running(server_child()) as (supervised, lines, life):
        await supervised.ready.wait()
        first = supervised.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: supervised.starts == 2 and lines.count("child: serving") == 2)
        assert "up: child was killed by SIGKILL; starting it again in 0.5 s" in lines
        assert supervised.pid != first
        await supervised.stop()
        assert await life == ""
        assert lines[-1] == "child: stopping"


async def test_a_wrong_configuration_is_not_tried_twice():
    """Status 2 before readiness ends supervision with the reason."""
    async with running(child("import sys; print('bad key'); sys.exit(2)")) as (supervised, lines, life):
        assert await life == "child ended with status 2"
        assert supervised.starts == 1
        assert lines == ["child: bad key"]


async def test_what_is_not_essential_is_tried_again_for_ever():
    """Even where its configuration is wrong: somebody may put it right, and the proxy serves on."""
    plan = child("import sys; sys.exit(2)", essential=False)
    async with running(plan) as (supervised, lines, life):
        await supervised.tried.wait()
        assert not supervised.ready.is_set()
        await until(lambda: supervised.starts == 2)
        assert lines[0] == "up: child ended with status 2; starting it again in 0.5 s"
        supervised.kill()
        assert await life == ""


async def test_a_child_that_will_not_stop_is_killed():
    """After the time it may take, and that is said."""
    code = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    async with running(child(code, stop_within_s=0.3)) as (supervised, lines, life):
        await until(lambda: "child: up" in lines)
        await supervised.stop()
        assert await life == ""
        assert lines[-1] == "up: child did not stop within 0.3 s; killing it"


async def test_lines_of_any_length_and_kind_pass():
    """Megabytes without a newline, bytes that are no text, a last line without its end."""
    code = "import sys; sys.stdout.buffer.write(b'x' * 3_000_000 + b'\\n\\xff\\nlast')"
    async with running(child(f"{code}; sys.stdout.flush(); sys.exit(2)")) as (_, lines, life):
        await life
        assert [len(line) for line in lines[:1]] == [3_000_007]
        assert lines[1:] == ["child: \ufffd", "child: last"]


async def test_children_of_a_killed_child_do_not_hold_the_supervisor_up():
    """A grandchild that keeps the pipe open is told to stop, and the child starts again."""
    code = (
        "import subprocess,sys; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); sys.exit(1)"
    )
    async with running(child(code)) as (supervised, lines, life):
        await until(lambda: supervised.starts >= 2)
        grandchild = int(lines[0].removeprefix("child: "))
        await until(lambda: not _alive(grandchild))
        supervised.kill()
        await life


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_children_die_with_their_parent():
    """Even when the parent is killed with SIGKILL."""
    code = (
        "import asyncio, sys\n"
        "from proxy.supervisor import Child, Supervised\n"
        "child = Child('c', [sys.executable, '-c', 'import os,time; print(os.getpid(), flush=True); time.sleep(60)'], 'http://127.0.0.1:9/', 1)\n"
        "asyncio.run(Supervised(child, lambda name, line: print(line, flush=True)).run())\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert _alive(pid)
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 10
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(pid)


async def test_readiness_needs_the_status_200():
    """Nobody there, another status, 200."""

    async def serve(status: bytes) -> bool:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 " + status + b"\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await answers(f"http://127.0.0.1:{port}/-/readyz")

    assert await serve(b"200 OK")
    assert not await serve(b"503 Service Unavailable")
    assert not await answers(f"http://127.0.0.1:{free_port()}/")
