"""The demo's processes: `driftgate up` on free ports with a configuration of its own, in a directory of its own.

Law of this file: subprocesses, ports and files only. What runs is what a user runs; nothing is shortened but the
size of the baseline and the pause between evaluations.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import NamedTuple

import msgspec

from monitor.contract.config import Config, load_config
from monitor.contract.leashed import leashed

BASELINE_SIZE = 1_000
_EVALUATE_EVERY_S = 1.0
_STOP_WITHIN_S = 40.0


class Addresses(NamedTuple):
    """Where everything is."""

    proxy: str
    admin: str
    monitor: str

    @property
    def base_url(self) -> str:
        """What a client's `base_url` would be."""
        return f"http://{self.proxy}/v1"


def free_ports(count: int) -> list[int]:
    """Return ports that are free now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def write_config(directory: Path, upstreams: dict[str, str], *, local: bool) -> Path:
    """Write the demo's configuration: one route for each upstream; return its path."""
    ports = free_ports(6)
    document = {
        "state_dir": str(directory / "state"),
        "proxy": {"listen": f"127.0.0.1:{ports[0]}"},
        "admin": {"listen": f"127.0.0.1:{ports[1]}"},
        "monitor": {"listen": f"127.0.0.1:{ports[2]}", "evaluate_every_s": _EVALUATE_EVERY_S},
        "scoring": {
            "kind": "local" if local else "triton",
            "http_port": ports[3],
            "grpc_port": ports[4],
            "metrics_port": ports[5],
        },
        "baseline": {"size": BASELINE_SIZE, "span_hours": 0},
        "routes": [
            {"name": name, "match": f"{name}-*", "variant": {"name": f"{name}-ft", "upstream": upstream}}
            for name, upstream in upstreams.items()
        ],
    }
    path = directory / "driftgate.yaml"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document)))  # JSON is YAML
    return path


class Running:
    """`driftgate up`, running; its lines go to a file and the last of them are kept."""

    def __init__(self, process: asyncio.subprocess.Process, config: Config, log: Path) -> None:
        self._process = process
        self.config = config
        self.addresses = Addresses(config.proxy.listen, config.admin.listen, config.monitor.listen)
        self.log = log

    @property
    def ended(self) -> bool:
        """Whether it is gone, though nobody stopped it."""
        return self._process.returncode is not None

    def last_lines(self, count: int = 15) -> list[str]:
        """Return the end of the log."""
        with self.log.open(encoding="utf-8", errors="replace") as lines:
            return [line.rstrip("\n") for line in deque(lines, maxlen=count)]

    async def wait(self) -> None:
        """Wait until it ends by itself."""
        await self._process.wait()

    async def stop(self) -> None:
        """Stop it in order; kill it where that takes too long."""
        if self.ended:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_WITHIN_S)
        except TimeoutError:
            self._process.kill()  # its children die with it
            await self._process.wait()


async def start(config_file: Path) -> Running:
    """Start `driftgate up`; it is not ready yet."""
    config = load_config(config_file)
    log = config_file.with_name("driftgate.log")
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *leashed([sys.executable, "-P", "-m", "proxy", "up", "--config", str(config_file)]),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Running(process, config, log)
