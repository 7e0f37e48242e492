"""`driftgate up`: what it runs, what it tells, and that it survives whatever dies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from monitor.contract.command import Settings
from monitor.contract.config import Config, load_config
from monitor.traffic.openai_shapes import Answer
from monitor.traffic.replay import Plan, sender
from monitor.traffic.standin import StandIn
from proxy.up import children, prefixed, reachable, ready_block


def test_what_runs_follows_the_configuration():
    """The proxy stops first, Triton last; none where another one or none is used."""
    settings = Settings(Path("f.yaml"), {"proxy.workers": 2})
    names = {
        "embedded": [child.name for child in children(Config(), settings)],
        "elsewhere": [
            child.name for child in children(load_config(None, {"scoring.url": "t:8001"}), settings)
        ],
        "local": [child.name for child in children(load_config(None, {"scoring.kind": "local"}), settings)],
    }
    assert names == {
        "embedded": ["proxy", "monitor", "triton"],
        "elsewhere": ["proxy", "monitor"],
        "local": ["proxy", "monitor"],
    }


def test_children_get_the_same_settings():
    """The file and the flags, as they were given."""
    settings = Settings(Path("f.yaml"), {"proxy.workers": 2, "admin.listen": "0.0.0.0:9"})
    config = load_config(None, {"proxy.drain_s": 7.0})
    proxy, monitor, triton = children(config, settings)
    for child, module, command in (
        (proxy, "proxy", "proxy"),
        (monitor, "monitor", "monitor"),
        (triton, "monitor", "triton"),
    ):
        assert child.command[1:5] == ["-P", "-m", module, command]
        assert child.command[5:] == ["--config", "f.yaml", "--admin", "0.0.0.0:9", "--workers", "2"]
    assert [child.essential for child in (proxy, monitor, triton)] == [True, False, False]
    assert proxy.stop_within_s == 12.0
    assert triton.ready_url == "http://127.0.0.1:8000/v2/health/ready"


@pytest.mark.parametrize(
    ("address", "expected"),
    [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80"), ("[::1]:8", "[::1]:8"), ("host:1", "host:1")],
)
def test_a_wildcard_is_reached_by_loopback(address: str, expected: str):
    """What is printed must work when it is clicked."""
    assert reachable(address) == expected


def test_the_block_says_where_everything_is():
    """The base URL first."""
    block = ready_block(load_config(None, {"proxy.listen": "127.0.0.1:9", "proxy.upstream": "http://m/v1"}))
    lines = [line.split() for line in block.splitlines() if line]
    assert lines[1] == ["base_url", "http://127.0.0.1:9/v1"]
    assert lines[2] == ["upstream", "http://m/v1"]
    routes = [{"name": "a", "match": "a*", "variant": {"upstream": "http://a/v1"}}, {"name": "b"}]
    assert "a: http://a/v1, b: https://api.openai.com/v1" in ready_block(
        load_config(None, {"routes": routes})
    )
    alone = load_config(None, {"routes": [{"variant": {"upstream": "http://own/v1"}}]})
    assert "upstream  http://own/v1\n" in ready_block(alone)


def test_lines_carry_their_source():
    """With colour on a terminal only."""
    assert prefixed("proxy", "hello", colour=False) == "proxy   │ hello\n"
    assert prefixed("proxy", "hello", colour=True).endswith("\x1b[0m hello\n")


def test_where_triton_cannot_run_it_says_what_can():
    """Two ways out, by their keys."""
    block = ready_block(Config(), ["triton"])
    assert "drift cannot be told yet" in block
    assert "WITHOUT triton" in block
    assert "scoring.kind: local" in block
    assert "scoring.url" in block
    assert "WITHOUT" not in ready_block(Config())


# From here on: the real thing, scored in the monitor's process.


def get(url: str) -> dict:
    """Fetch JSON from one of our processes."""
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 our own address
        return json.loads(answer.read())


@asynccontextmanager
async def up(
    directory: Path, ports: list[int]
) -> AsyncIterator[tuple[asyncio.subprocess.Process, list[str]]]:
    """Run `driftgate up` before a stand-in; collect its lines, stop it by SIGTERM."""
    standin = StandIn(lambda prompt: Answer(f"An answer to {prompt}"))
    upstream = await standin.start("127.0.0.1", 0)
    file = directory / "driftgate.yaml"
    file.write_text("{scoring: {kind: local}, monitor: {evaluate_every_s: 0.5}, baseline: {size: 100}}")
    listens = [f"127.0.0.1:{port}" for port in ports]
    flags = ["--upstream", upstream, "--listen", listens[0], "--admin", listens[1], "--monitor", listens[2]]
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-P",
            "-m",
            "proxy",
            "up",
            "--config",
            str(file),
            "--state",
            str(directory / "state"),
        ),
        *flags,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    lines: list[str] = []

    async def read() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            lines.append(line.decode().rstrip())  # noqa: PERF401 each line counts as soon as it comes

    reading = asyncio.create_task(read())
    try:
        yield process, lines
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading
        await standin.stop()


async def until(holds: Callable[[], bool], within_s: float = 60.0) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 what is waited for happens in other processes
            await asyncio.sleep(0.1)


def child_pids(pid: int) -> dict[str, int]:
    """Return the children of a process on Linux, by their command."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                words = stat.with_name("cmdline").read_bytes().decode().split("\0")
                found[words[4]] = int(stat.parent.name)
        except (FileNotFoundError, ProcessLookupError, IndexError):
            continue
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_the_whole_path_survives_a_killed_monitor_and_stops_in_order(tmp_path: Path, free_ports):
    """Every exchange is scored exactly once, clients see no error, SIGTERM ends everything with status 0."""
    ports = free_ports(3)
    base_url, status = f"http://127.0.0.1:{ports[0]}/v1", f"http://127.0.0.1:{ports[2]}/-/status"
    async with up(tmp_path, ports) as (process, lines), sender(Plan(base_url)) as client:
        await until(lambda: any("base_url" in line for line in lines))
        for number in range(150):
            if number == 75:
                os.kill(child_pids(process.pid)["monitor"], signal.SIGKILL)
            await client.send(f"Question {number} about a bicycle")
        sent = client.so_far()
        assert (sent.statuses, sent.failures) == ({200: 150}, {})
        await until(lambda: sum("monitor running" in line for line in lines) == 2)
        await until(lambda: get(status)["scored"] == 150)
        assert any("monitor was killed by SIGKILL; starting it again" in line for line in lines)
        mirror = get(f"http://127.0.0.1:{ports[1]}/-/status")["mirror"]
        assert (mirror["received"], mirror["mirrored"]) == (150, 150)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0


async def test_sighup_is_passed_on_to_what_reloads(tmp_path: Path, free_ports):
    """The proxy takes the changed file over, under its flags; the others run on."""
    ports = free_ports(3)
    async with up(tmp_path, ports) as (process, lines):
        await until(lambda: any("base_url" in line for line in lines))
        file = tmp_path / "driftgate.yaml"
        file.write_text("{scoring: {kind: local}, proxy: {drain_s: 7.0}, baseline: {size: 200}}")
        process.send_signal(signal.SIGHUP)
        await until(lambda: any("configuration reloaded" in line for line in lines))
        (reloaded,) = [line for line in lines if "configuration reloaded" in line]
        assert "proxy.drain_s" in reloaded
        assert "proxy.upstream" not in reloaded
        (rest,) = [line for line in lines if "configuration needs a restart" in line]
        assert "baseline.size" in rest
        assert any("SIGHUP: read again by proxy" in line for line in lines)
        assert not any("starting it again" in line for line in lines)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0


async def test_a_part_that_cannot_start_ends_everything(tmp_path: Path, free_ports):
    """A taken port: the part's own line, then one line of ours, status 1; nothing is left running."""
    ports = free_ports(3)
    async with (
        await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", ports[0]),
        up(tmp_path, ports) as (process, lines),
    ):
        assert await asyncio.wait_for(process.wait(), 60) == 1
        children_left = child_pids(process.pid) if sys.platform == "linux" else {}
    assert children_left == {}
    assert lines[-1].startswith("driftgate: proxy ended with status ")
    assert lines[-1].endswith(" before it was ready; its lines above say why")
