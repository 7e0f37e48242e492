"""A soak: mixed load at a fixed, moderate rate, and what it does to memory, files, threads and counts.

    .venv/bin/python benchmarks/proxy/soak.py                       30 minutes, 150 requests a second
    .venv/bin/python benchmarks/proxy/soak.py --sink-down --minutes 60 --rate 100     with the bus locked
    .venv/bin/python benchmarks/proxy/soak.py --minutes 1 --rate 50                   to try it

Model, clients and sampler share this process; the proxy (one worker, mirror on, everything at its default but the
bus's size) and a real monitor that scores in its own process run beside it. `--sink-down`: no monitor, and another
process holds the bus's lock from before the start to the end. At the end 256 streams are opened at once.

Law: what is sampled every few seconds is written down whole (`--out DIR`: samples.jsonl, soak.svg, table.md). The rule
is fixed: the first sixth of the time is warming up, with four bursts of 256 requests at once, so that the allocator
has seen more than a busy machine's pauses bring about later; of the rest the means of ten equal parts make a line, and
the upper end of its slope's 95 % interval may be at most 5 MB an hour for the worker's memory and 5 an hour for its
threads and open files; sockets, of which there are as many as requests run, are as many after the load as before it;
every count matches at the end. Exit status 1 where one of these does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import uvloop
from line_plot import Line, Panel, draw
from scipy import stats
from soak_load import MIX, Clients, Model

BUS_BYTES = 64 * 1024**2
PARTS = 10
WARMING = 1 / 6
MOST = {"worker_mb": 5.0, "files": 5.0, "threads": 5.0}
BURSTS = 4
MANY_STREAMS = 256
_MB = os.sysconf("SC_PAGE_SIZE") / 1e6
HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA locking_mode = EXCLUSIVE")
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


class Slope(NamedTuple):
    """Growth in an hour, with its 95 % interval."""

    value: float
    low: float
    high: float


class Town:
    """The processes: proxy, and a monitor or the one that holds the lock."""

    def __init__(self, folder: Path, model_port: int, stack: ExitStack, *, sink_down: bool) -> None:
        self.folder = folder
        self._stack = stack
        self.bus = folder / "state" / "bus.sqlite"
        document = {
            "state_dir": str(folder / "state"),
            "log": "json",
            "proxy": {"listen": "127.0.0.1:0", "upstream": f"http://127.0.0.1:{model_port}/v1"},
            "admin": {"listen": "127.0.0.1:0"},
            "bus": {"retention_bytes": BUS_BYTES},
            "monitor": {"listen": "127.0.0.1:0"},
            "scoring": {"kind": "local"},
            "baseline": {"size": 5000, "span_hours": 0},
        }
        self._config = folder / "driftgate.yaml"
        self._config.write_text(json.dumps(document))
        self.holder = self._hold() if sink_down else None
        self.proxy = self._start("proxy")
        listening = _until(lambda: self._logged("proxy.log", "proxy listens"))
        self.port = int(listening["listen"].rpartition(":")[2])
        self.admin = f"http://{listening['admin']}"
        _until(lambda: self.workers() and self.status()["accepting"])
        self.monitor = None if sink_down else self._start("monitor")

    def _hold(self) -> subprocess.Popen[str]:
        self.bus.parent.mkdir()
        make = "import sys; from pathlib import Path; from monitor.bus.sqlite import SqliteBus; SqliteBus(Path(sys.argv[1])).close()"
        subprocess.run([sys.executable, "-c", make, str(self.bus)], check=True)
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(self.bus)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._stack.callback(_end, holder)
        assert holder.stdout is not None  # noqa: S101 - for the type checker
        holder.stdout.readline()
        return holder

    def _start(self, command: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{command}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", command, command, "--config", str(self._config)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        self._stack.callback(_end, process)
        return process

    def _logged(self, name: str, event: str) -> dict[str, Any]:
        for line in (self.folder / name).read_text().splitlines():
            if line.startswith("{") and (found := json.loads(line))["event"] == event:
                return dict(found)
        return {}

    def workers(self) -> list[int]:
        """Return the worker processes' ids."""
        return [
            int(pid)
            for pid in Path(f"/proc/{self.proxy.pid}/task/{self.proxy.pid}/children").read_text().split()
        ]

    def status(self) -> dict[str, Any]:
        """Return the proxy's `/-/status`."""
        with urllib.request.urlopen(self.admin + "/-/status", timeout=20) as answer:  # noqa: S310 - our own loopback
            return dict(json.load(answer))

    def sample(self) -> dict[str, float]:
        """Measure everything now."""
        status = self.status()
        mirror, (worker, *_) = status["mirror"], self.workers()
        monitor = self.monitor
        opened = [_target(link) for link in Path(f"/proc/{worker}/fd").iterdir()]
        sockets = sum(target.startswith("socket:") for target in opened)
        return {
            "worker": worker,
            "worker_mb": rss_mb(worker),
            "parent_mb": rss_mb(self.proxy.pid),
            "monitor_mb": rss_mb(monitor.pid) if monitor else 0.0,
            "files": len(opened) - sockets,
            "sockets": sockets,
            "threads": len(list(Path(f"/proc/{worker}/task").iterdir())),
            "bus_mb": sum(file.stat().st_size for file in self.bus.parent.glob("bus.sqlite*")) / 1e6,
            "in_flight": status["requests"]["in_flight"],
            "queue": mirror["queue"]["exchanges"],
            "queue_mb": mirror["queue"]["bytes"] / 1e6,
            "received": mirror["received"],
            "mirrored": mirror["mirrored"],
            "dropped": sum(mirror["dropped"].values()),
            "pending": mirror["pending"],
        }


def rss_mb(pid: int) -> float:
    """Return a process's resident memory in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _MB


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def _end(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _until(found: Callable[[], Any], within_s: float = 60.0) -> Any:
    deadline = time.monotonic() + within_s
    while not (value := found()):
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come about in time")
        time.sleep(0.1)
    return value


async def soak(arguments: argparse.Namespace, folder: Path, stack: ExitStack) -> int:
    """Run it all; return the exit status."""
    model = Model()
    port = await model.listen()
    town = await asyncio.to_thread(Town, folder, port, stack, sink_down=arguments.sink_down)
    clients = Clients(town.port, model)
    samples: list[dict[str, float]] = []
    seconds = arguments.minutes * 60.0
    load = asyncio.create_task(clients.run(arguments.rate, seconds))
    warming = asyncio.create_task(_burst(clients, seconds * WARMING))
    with (arguments.out / "samples.jsonl").open("w") as lines:
        began = time.monotonic()
        while not load.done():
            found = {"s": time.monotonic() - began} | await asyncio.to_thread(town.sample)
            samples.append(found)
            lines.write(json.dumps(found) + "\n")
            lines.flush()
            await asyncio.wait({load}, timeout=arguments.every)
    load.result()
    await warming
    settled = await _settled(town)
    report = [*_rows(samples), f"| after 10 s without load | {_cells(settled)} |", ""]
    report += [*await _streams(town, clients), ""]
    if town.holder is not None:
        _end(town.holder)
    last = await _settled(town, empty=True)
    report += [f"Worker's memory at the very end, queue empty: {last['worker_mb']:.0f} MB.", ""]
    _end(town.proxy)
    checks = [*_checks(town, clients, last, samples), _closed(samples[0], settled)]
    flat = _flatness(samples)
    report += [f"- {'holds' if holds else 'FAILS'}: {what}" for what, holds in (*flat, *checks)]
    await model.close()
    text = "\n".join(report) + "\n"
    (arguments.out / "table.md").write_text(text)
    (arguments.out / "soak.svg").write_text(_plot(samples, sink_down=arguments.sink_down))
    print(text)
    return 0 if all(holds for _, holds in (*flat, *checks)) else 1


async def _burst(clients: Clients, seconds: float) -> None:
    """Send many requests at once, a few times while warming up."""
    for _ in range(BURSTS):
        await asyncio.sleep(seconds / (BURSTS + 1))
        for _ in range(MANY_STREAMS):
            clients.begin_any()


async def _settled(town: Town, *, empty: bool = False) -> dict[str, float]:
    """Wait until nothing is in flight (`empty`: and nothing waits), then ten seconds, and sample."""
    for _ in range(600):
        found = await asyncio.to_thread(town.sample)
        if not found["in_flight"] and not (empty and found["pending"]):
            break
        await asyncio.sleep(0.5)
    await asyncio.sleep(10.0)
    return await asyncio.to_thread(town.sample)


async def _streams(town: Town, clients: Clients) -> list[str]:
    """Open many streams at once and say what they cost."""
    before = await asyncio.to_thread(town.sample)
    for _ in range(MANY_STREAMS):
        clients.begin("stream")
    most = before["worker_mb"]
    open_at_once = 0.0
    while clients.running:
        now = await asyncio.to_thread(town.sample)
        most, open_at_once = max(most, now["worker_mb"]), max(open_at_once, now["in_flight"])
        await asyncio.sleep(0.05)
    await clients.finish()
    return [
        f"{open_at_once:.0f} streams at once: {before['worker_mb']:.0f} MB before, {most:.0f} MB at most meanwhile."
    ]


def _rows(samples: Sequence[dict[str, float]]) -> list[str]:
    """Make a table of about a dozen moments."""
    rows = [
        "| minute | worker MB | parent MB | monitor MB | open files / sockets | threads | queue MB | bus MB | received | mirrored | dropped |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    chosen = sorted({round(at) for at in np.linspace(0, len(samples) - 1, min(13, len(samples)))})
    rows += [f"| {samples[at]['s'] / 60:.1f} | {_cells(samples[at])} |" for at in chosen]
    return rows


def _cells(found: dict[str, float]) -> str:
    files = f"{found['files']} / {found['sockets']}"
    first = [f"{found[name]:.1f}" for name in ("worker_mb", "parent_mb", "monitor_mb")]
    rest = [f"{found['queue_mb']:.1f}", f"{found['bus_mb']:.0f}"]
    counts = [f"{found[name]:,}" for name in ("received", "mirrored", "dropped")]
    return " | ".join([*first, files, str(found["threads"]), *rest, *counts])


def slope(samples: Sequence[dict[str, float]], name: str) -> Slope:
    """Fit a line to the means of equal parts of the time; what is left over of neighbours is nearly independent."""
    parts = np.array_split(np.arange(len(samples)), PARTS)
    hours = [float(np.mean([samples[i]["s"] for i in part])) / 3600.0 for part in parts]
    means = [float(np.mean([samples[i][name] for i in part])) for part in parts]
    if min(means) == max(means):
        return Slope(0.0, 0.0, 0.0)
    fit = stats.linregress(hours, means)
    reach = float(stats.t.ppf(0.975, PARTS - 2)) * float(fit.stderr)
    return Slope(float(fit.slope), float(fit.slope) - reach, float(fit.slope) + reach)


def _flatness(samples: Sequence[dict[str, float]]) -> list[tuple[str, bool]]:
    """Apply the rule to what comes after the warming up."""
    after = [found for found in samples if found["s"] >= samples[-1]["s"] * WARMING]
    said = []
    for name, most in MOST.items():
        grown = slope(after, name)
        words = f"{name} grows by {grown.value:.2f} an hour (95 % interval {grown.low:.2f} to {grown.high:.2f}; at most {most:g})"
        said.append((words, grown.high <= most))
    return said


def _checks(
    town: Town, clients: Clients, last: dict[str, float], samples: Sequence[dict[str, float]]
) -> list[tuple[str, bool]]:
    sent = sum(clients.sent.values())
    with sqlite3.connect(town.bus) as bus:
        published, acknowledged, expired, damaged, waiting = bus.execute(
            "SELECT published, acknowledged, expired, damaged, waiting FROM counters"
        ).fetchone()
    bus.close()
    workers = {found["worker"] for found in samples}
    return [
        (
            f"received {last['received']:,} = mirrored {last['mirrored']:,} + dropped {last['dropped']:,} + pending {last['pending']}",
            last["received"] == last["mirrored"] + last["dropped"] + last["pending"] and not last["pending"],
        ),
        (f"sent {sent:,} = received {last['received']:,}", sent == last["received"]),
        (f"mirrored = published on the bus {published:,}", last["mirrored"] == published),
        (
            f"published = acknowledged {acknowledged:,} + expired {expired:,} + damaged {damaged} + waiting {waiting:,}",
            published == acknowledged + expired + damaged + waiting,
        ),
        (f"nothing but what was asked for happened ({dict(clients.surprises)})", not clients.surprises),
        ("the worker was never restarted", len(workers) == 1),
    ]


def _closed(before: dict[str, float], after: dict[str, float]) -> tuple[str, bool]:
    # One may be a kept connection to the model.
    words = f"sockets: {before['sockets']} before the load, {after['sockets']} after it"
    return words, after["sockets"] <= before["sockets"] + 1


def _plot(samples: Sequence[dict[str, float]], *, sink_down: bool) -> str:
    def line(label: str, name: str) -> Line:
        return Line(label, [found[name] for found in samples])

    panels = [
        Panel("resident memory, MB", [line("worker", "worker_mb"), line("parent", "parent_mb")]),
        Panel(
            "open files, sockets and threads of the worker",
            [line("files", "files"), line("sockets", "sockets"), line("threads", "threads")],
        ),
        Panel("mirror's queue, MB", [line("queue", "queue_mb")]),
        Panel(
            "exchanges",
            [line("received", "received"), line("mirrored", "mirrored"), line("dropped", "dropped")],
        ),
    ]
    if not sink_down:
        panels.insert(1, Panel("resident memory of the monitor, MB", [line("monitor", "monitor_mb")]))
    return draw([found["s"] / 60.0 for found in samples], "minutes", panels)


def main() -> None:
    """Run and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=150.0, help="requests a second (default 150)")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between samples (default 5)")
    parser.add_argument("--sink-down", action="store_true", help="no monitor, and the bus locked throughout")
    parser.add_argument("--out", type=Path, default=Path("soak"), help="folder for results (default ./soak)")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    mix = ", ".join(f"{share} % {kind}" for kind, share in MIX.items())
    print(f"{arguments.minutes:g} minutes, {arguments.rate:g} requests a second: {mix}\n", flush=True)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        status = uvloop.run(soak(arguments, Path(folder), stack))
    sys.exit(status)


if __name__ == "__main__":
    main()
