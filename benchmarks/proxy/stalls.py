"""How long the mirror's thread holds up the serving thread at one connection, from the kernel's own records.

    .venv/bin/python benchmarks/proxy/stalls.py                 as root, with `perf` and `wrk`; about 10 s a round

Law: the proxy is pinned to one core as in `speed.py`, the mirror on. A turn of the serving thread lasts from its
wake-up to its next wait for events; counted is how long the mirror's thread ran meanwhile, whether it held the
interpreter's lock or only the core. Waiting for others' work on the machine is not in it, so these figures are steadier
than wrk's 99th percentile. That one is weighted by time, because wrk adds the requests that a late answer kept from being
sent; so is this one: one percent of the run was spent beyond it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from peers import PROXY_CORE, Running, instant_model, ours
from speed import MIRROR_ON, Target, spread, wrk

SECONDS = 4
_EVENT = re.compile(r"\s(\d+)\s+\[(\d+)\]\s+([0-9.]+):\s+\w+:(\w+):\s(.*)$")
_NEXT = re.compile(r"next_pid=(\d+)")


class Stalls(NamedTuple):
    """What one run found, in milliseconds: for each turn how long the writer ran, and how long the run was."""

    turns: list[float]
    run_ms: float

    def beyond(self, share: float) -> float:
        """Return the stall beyond which this share of the run was spent."""
        low, high = 0.0, max(self.turns, default=0.0)
        for _ in range(40):
            middle = (low + high) / 2
            spent = sum(turn - middle for turn in self.turns if turn > middle)
            low, high = (middle, high) if spent > share * self.run_ms else (low, middle)
        return low


def read(lines: Iterable[str], serving: int, writer: int) -> Stalls:
    """Read what `perf script` wrote."""
    turns, held, on_core, last, first = [], None, 0, 0.0, None
    for line in lines:
        found = _EVENT.search(line)
        if found is None or (found[4] == "sched_switch" and found[2].lstrip("0") != PROXY_CORE.lstrip("0")):
            continue
        now = float(found[3]) * 1e3
        first = now if first is None else first
        if held is not None and on_core == writer:
            held += now - last
        last = now
        if found[4] == "sched_switch":
            switched = _NEXT.search(found[5])
            on_core = int(switched[1]) if switched else 0
        elif found[4] == "sched_waking" or (found[4].startswith("sys_exit") and int(found[1]) == serving):
            held = 0.0 if held is None else held
        elif int(found[1]) == serving and held is not None:
            turns.append(held)
            held = None
    return Stalls(turns, last - (first or 0.0))


def record(proxy: Running, folder: Path) -> Stalls:
    """Load a proxy over one connection and record meanwhile who ran when."""
    worker = next(
        pid for pid in proxy.processes() if b"proxy.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    # The first thread serves, and the mirror's is the first that it starts.
    serving, writer = sorted(int(entry.name) for entry in Path(f"/proc/{worker}/task").iterdir())[:2]
    events = ["sched:sched_switch", "sched:sched_waking"]
    events += [f"syscalls:sys_{way}_epoll_pwait" for way in ("enter", "exit")]
    command = ["perf", "record", "-q", "-a", "-m", "8192", "-o", str(folder / "perf.data")]
    for event in events:
        command += ["-e", event]
        if event == "sched:sched_waking":
            command += ["--filter", f"pid == {serving}"]
    recorder = subprocess.Popen(
        [*command, "--", "sleep", str(SECONDS)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(0.3)
    wrk(Target(MIRROR_ON, proxy.port, (), proxy), folder, 1, SECONDS)
    recorder.wait()
    script = [
        "perf",
        "script",
        "-i",
        str(folder / "perf.data"),
        "--ns",
        "-F",
        "comm,tid,cpu,time,event,trace",
    ]
    text = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    return read(text.splitlines(), serving, writer)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    if os.geteuid() or not shutil.which("perf") or not shutil.which("wrk"):
        sys.exit("this needs root, perf and wrk")
    found = []
    with instant_model() as port:
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                proxy = Running(ours(MIRROR_ON), Path(folder) / "proxy", port)
                try:
                    wrk(Target(MIRROR_ON, proxy.port, (), proxy), Path(folder), 1, 1)
                    found.append(record(proxy, Path(folder)))
                finally:
                    proxy.stop()
    print("| one connection | held up by the mirror's thread |\n|---|--:|")
    print(f"| p99, ms | {spread([stalls.beyond(0.01) for stalls in found], '{:.2f}')} |")
    print(f"| longest, ms | {spread([max(stalls.turns) for stalls in found], '{:.1f}')} |")
    print(f"| share of the time, % | {spread([100 * sum(s.turns) / s.run_ms for s in found], '{:.1f}')} |")


if __name__ == "__main__":
    main()
