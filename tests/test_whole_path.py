"""The whole path as processes, while each part is killed in turn: stand-in, `up`, `replay --verify`.

What a user runs, with generated exchanges and a small baseline; skipped, visibly, where the embedded Triton cannot run.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from monitor.contract.config import Config, load_config
from monitor.demo.customers import DELIVERY, PAYMENT, REPAIR, RETURNS, question
from monitor.demo.standin_model import Manner, answer

FIRST, SECOND = 3_500, 1_500
RATE = 300
CONCURRENCY = 32
DRIFTGATE = Path(sys.prefix) / "bin" / "driftgate"


def write_exchanges(path: Path, count: int, seed: int) -> Path:
    """Write a file of generated exchanges."""
    play = random.Random(seed)
    with path.open("w") as lines:
        for number in range(count):
            prompt = f"{question((DELIVERY, PAYMENT, REPAIR, RETURNS), play)} Order {seed}-{number}."
            response = answer(prompt, Manner.HELPFUL, play)
            lines.write(json.dumps({"prompt": prompt, "response": response}) + "\n")
    return path


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and that still run."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def descendants(pid: int) -> list[int]:
    """Return them with their own."""
    return [each for child in children(pid) for each in (child, *descendants(child))]


def words(pid: int) -> list[str]:
    """Return a process's command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except FileNotFoundError:
        return []


def until(holds: Callable[[], Any], within_s: float = 40.0) -> Any:
    """Poll until something is true and return it."""
    deadline = time.monotonic() + within_s
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)
    return found


class Town:
    """A stand-in and `driftgate up` before it, with two proxy workers."""

    def __init__(self, folder: Path, exchanges: Path, ports: list[int]) -> None:
        self.file = folder / "driftgate.yaml"
        document = {
            "state_dir": str(folder / "state"),
            "proxy": {
                "listen": f"127.0.0.1:{ports[0]}",
                "upstream": f"http://127.0.0.1:{ports[3]}/v1",
                "workers": 2,
            },
            "admin": {"listen": f"127.0.0.1:{ports[1]}"},
            "monitor": {"listen": f"127.0.0.1:{ports[2]}", "evaluate_every_s": 0.5},
            "scoring": dict(
                zip(("http_port", "grpc_port", "metrics_port"), ports[4:], strict=True), deadline_s=5.0
            ),
            "baseline": {"size": 500, "span_hours": 0},
        }
        self.file.write_text(json.dumps(document))  # JSON is YAML
        self.config: Config = load_config(self.file)
        self.log = folder / "up.log"
        self._standin = self._start(
            folder / "standin.log", "standin", str(exchanges), "--listen", f"127.0.0.1:{ports[3]}"
        )
        self.up = self._start(self.log, "up", "--config", str(self.file))

    def _start(self, log: Path, *arguments: str) -> subprocess.Popen[bytes]:
        with log.open("wb") as output:
            return subprocess.Popen([DRIFTGATE, *arguments], stdout=output, stderr=subprocess.STDOUT)

    def replay(self, exchanges: Path) -> subprocess.Popen[bytes]:
        """Begin to send a file's prompts."""
        how = ("--rate", str(RATE), "--concurrency", str(CONCURRENCY), "--wait", "40", "--verify", "--json")
        command = [DRIFTGATE, "replay", str(exchanges), "--config", str(self.file), *how]
        return subprocess.Popen(command, stdout=subprocess.PIPE)

    def part(self, name: str) -> int:
        """Return the process of a part that `up` runs."""
        return next(child for child in children(self.up.pid) if words(child)[4:5] == [name])

    def kill(self, pids: list[int]) -> None:
        """Kill -9."""
        assert pids
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def status(self, address: str) -> dict[str, Any]:
        """Ask proxy or monitor for its status; nothing while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://{address}/-/status", timeout=5) as body:
                return dict(json.load(body))
        except OSError:
            return {}

    def received(self) -> int:
        """Count the requests that the proxy has taken in."""
        mirror = self.status(self.config.admin.listen).get("mirror", {})
        return int(mirror.get("received", 0))

    def wait_ready(self) -> None:
        """Wait until `up` has said that everything runs."""
        until(lambda: "base_url" in self.log.read_text() or self.up.poll() is not None)
        assert self.up.returncode is None, self.log.read_text()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self.up, self._standin):
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def town(triton_installation, free_ports, tmp_path: Path) -> Iterator[Town]:
    """Give the whole of it, ready; `one.jsonl` and `two.jsonl` lie beside its configuration."""
    one = write_exchanges(tmp_path / "one.jsonl", FIRST, 1)
    two = write_exchanges(tmp_path / "two.jsonl", SECOND, 2)
    both = tmp_path / "both.jsonl"
    both.write_text(one.read_text() + two.read_text())
    with Town(tmp_path, both, free_ports(7)) as town:
        town.wait_ready()
        yield town


def outcome(sending: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Wait for a replay's end and return its document."""
    output, _ = sending.communicate(timeout=90)
    return {**json.loads(output), "exit_status": sending.returncode}


def fits(sent: dict[str, Any]) -> dict[str, bool]:
    """Tell for each comparison of counts whether both sides are equal."""
    return {line["stage"]: line["fits"] for line in sent["counts"]}


def test_everything_is_killed_once_and_every_exchange_is_accounted_for(town: Town, tmp_path: Path):
    """Monitor and Triton die unnoticed; a worker takes only its own connections along, and what it lost is told."""
    sending = town.replay(tmp_path / "one.jsonl")
    until(lambda: town.received() > 700)
    town.kill([town.part("monitor")])
    until(lambda: town.received() > 1_800)
    town.kill(descendants(town.part("triton")))
    first = outcome(sending)
    assert (first["statuses"], first["failures"]) == ({"200": FIRST}, {}), town.log.read_text()
    assert all(fits(first).values()), first["counts"]
    assert first["exit_status"] == 0

    sending = town.replay(tmp_path / "two.jsonl")
    until(lambda: town.received() > FIRST + 400)
    killed = next(child for child in children(town.part("proxy")) if "proxy.worker" in words(child))
    town.kill([killed])
    second = outcome(sending)
    lost_connections = sum(second["failures"].values())
    assert second["statuses"] == {"200": SECOND - lost_connections}
    assert lost_connections <= CONCURRENCY, second["failures"]
    assert fits(second)["received = mirrored + dropped + pending"], second["counts"]
    assert fits(second)["mirrored = scored + skipped + waiting"], second["counts"]
    received = town.received() - FIRST
    assert SECOND - lost_connections <= received <= SECOND

    log = town.log.read_text()
    for part in ("monitor was killed by SIGKILL", "triton ended with status 1", "worker ended"):
        assert part in log
    until(lambda: town.status(town.config.admin.listen)["workers"]["alive"] == 2)
    mirror = town.status(town.config.admin.listen)["mirror"]
    dropped = {reason: n for reason, n in mirror["dropped"].items() if n}
    assert set(dropped) <= {"crash"}
    until(lambda: town.status(town.config.monitor.listen)["bus"]["dropped"] == sum(dropped.values()))
    (verdict,) = town.status(town.config.monitor.listen)["verdicts"]
    assert verdict["tier"] not in {"learning", "blind"}
    assert verdict["n"]["baseline"] == 500
    assert verdict["n"]["window"] > 0
    town.up.terminate()
    assert town.up.wait(30) == 0
