"""The real proxy, as processes, for tests that kill, drain and count."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import yaml


class RunningProxy:
    """`python -m proxy proxy` with a configuration; addresses are read from its log."""

    def __init__(
        self,
        directory: Path,
        config: dict[str, Any],
        environment: dict[str, str] | None = None,
        files: str = "",
    ) -> None:
        """Start it; `files` is what `ulimit` is told about open files, such as `-Sn 256`."""
        self.directory = directory
        proxy = {"listen": "127.0.0.1:0", **config.pop("proxy", {})}
        document = {
            "state_dir": str(directory / "state"),
            "log": "json",
            "admin": {"listen": "127.0.0.1:0"},
            "proxy": proxy,
            **config,
        }
        path = directory / "config.yaml"
        path.write_text(yaml.safe_dump(document))
        self.log_path = directory / "proxy.log"
        limiting = ("sh", "-c", f'ulimit {files} && exec "$@"', "sh") if files else ()
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [*limiting, sys.executable, "-m", "proxy", "proxy", "--config", str(path)],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
            )
        # Patience for a busy machine; a proxy that ends at once is seen at once.
        ready = self.wait_for(lambda: self.logged("proxy listens"), 60.0)[0]
        self.base = f"http://{ready['listen']}"
        self.admin = f"http://{ready['admin']}"
        self.wait_for(lambda: self.get(self.admin + "/-/readyz") is not None, 60.0)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the log's lines of one event."""
        lines = [json.loads(line) for line in self.log_path.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def wait_for(self, condition: Callable[[], Any], timeout_s: float = 15.0) -> Any:
        """Poll until a condition gives something true."""
        deadline = time.monotonic() + timeout_s
        while not (found := condition()):
            assert time.monotonic() < deadline, self.log_path.read_text()
            assert self.process.poll() is None, self.log_path.read_text()
            time.sleep(0.02)
        return found

    def get(self, url: str) -> bytes | None:
        """GET a URL; None when it does not answer with a success."""
        try:
            with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - our own loopback
                return bytes(response.read())
        except OSError:
            return None

    def status(self) -> dict[str, Any]:
        """Return `/-/status` of the admin listener."""
        return dict(json.loads(self.get(self.admin + "/-/status") or b"{}"))

    def mirror(self) -> dict[str, Any]:
        """Return the mirror's counts."""
        return dict(self.status()["mirror"])

    def workers(self) -> list[int]:
        """Return the worker processes' ids."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def stop(self) -> int:
        """Send SIGTERM and return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def __enter__(self) -> Self:
        """Nothing to do: it runs since it was made."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it, gently if possible."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
