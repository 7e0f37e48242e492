"""The proxies that are measured: ours in its configurations, and others where they are installed.

Law: each runs in one process tree pinned to the first core, with access logs off, streams unbuffered and kept
connections to the model, which is what its own documentation advises. One that is not installed is left out by name.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

READY_S = 90.0
PROXY_CORE, LOAD_CORE = "0", "1"
TASKSET = shutil.which("taskset") or "/usr/bin/taskset"
# Python that is not this one's, such as LiteLLM's, must not see this environment.
_CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


class Peer(NamedTuple):
    """A proxy: how it is named, how it is started on a port before the model's, and what requests to it need."""

    name: str
    command: Callable[[Path, int, int], list[str] | None]
    headers: tuple[str, ...] = ()


class Running:
    """A proxy that runs, pinned."""

    def __init__(self, peer: Peer, folder: Path, model_port: int, core: str = PROXY_CORE) -> None:
        self.peer = peer
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        command = peer.command(folder, self.port, model_port)
        if command is None:
            raise FileNotFoundError(peer.name)
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            [TASKSET, "-c", core, *command],
            stdout=self._log,
            stderr=self._log,
            cwd=folder,
            env=_CLEAN,
            start_new_session=True,
        )
        try:
            self._wait()
        except TimeoutError:
            self.stop()
            raise

    def _wait(self) -> None:
        deadline = time.monotonic() + READY_S
        while not answers(self.port, self.peer.headers):
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise TimeoutError(f"{self.peer.name} does not answer; see {self._log.name}")
            time.sleep(0.2)

    def processes(self) -> list[int]:
        """List the processes of its group."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = entry.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == self._process.pid:
                found.append(int(entry.parent.name))
        return found

    def cpu_s(self) -> float:
        """Return the processor seconds that it has used."""
        ticks = 0
        for pid in self.processes():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        """Return the resident memory of its largest process, in MB."""
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.processes()]
        return max(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def stop(self) -> None:
        """End its group."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                break
            try:
                self._process.wait(8)
            except subprocess.TimeoutExpired:
                continue
        self._log.close()


@contextmanager
def instant_model() -> Iterator[int]:
    """Run the model that answers at once beside the load, and give its port."""
    port = free_port()
    program = [sys.executable, str(Path(__file__).with_name("upstream.py")), str(port)]
    model = subprocess.Popen([TASKSET, "-c", LOAD_CORE, *program])
    try:
        while not answers(port):
            time.sleep(0.1)
        yield port
    finally:
        model.terminate()
        model.wait()


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int, headers: tuple[str, ...] = ()) -> bool:
    """Whether a chat completion comes back through a port."""
    body = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
    rows = ["POST /v1/chat/completions HTTP/1.1", "host: 127.0.0.1", "authorization: Bearer sk-bench"]
    rows += ["content-type: application/json", f"content-length: {len(body)}", "connection: close", *headers]
    try:
        with socket.create_connection(("127.0.0.1", port), 2.0) as wire:
            wire.sendall("\r\n".join((*rows, "", "")).encode() + body)
            return b" 200 " in wire.recv(4096)[:20]
    except OSError:
        return False


def ours(name: str, *, workers: int = 1, **keys: object) -> Peer:
    """Describe our proxy; `keys` are configuration keys with `__` for the point."""

    def command(folder: Path, port: int, model_port: int) -> list[str]:
        config: dict[str, dict[str, object]] = {
            "proxy": {
                "listen": f"127.0.0.1:{port}",
                "upstream": f"http://127.0.0.1:{model_port}/v1",
                "workers": workers,
            },
            "admin": {"listen": f"127.0.0.1:{free_port()}"},
        }
        for key, value in keys.items():
            section, _, field = key.partition("__")
            config.setdefault(section, {})[field] = value
        path = folder / "driftgate.yaml"
        path.write_text(json.dumps(config | {"state_dir": str(folder / "state")}))
        return [str(Path(sys.executable).parent / "driftgate"), "proxy", "--config", str(path)]

    return Peer(name, command)


def _nginx(folder: Path, port: int, model_port: int) -> list[str] | None:
    program = shutil.which("nginx")
    path = folder / "nginx.conf"
    path.write_text(
        f"""daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/errors;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_max_body_size 100m; client_body_buffer_size 1m; client_body_temp_path {folder}/b;
  proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  keepalive_requests 1000000;
  upstream model {{ server 127.0.0.1:{model_port}; keepalive 512; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""
    )
    return [program, "-c", str(path), "-p", str(folder)] if program else None


_TYPE = "type.googleapis.com/envoy.extensions.filters"


def _envoy(folder: Path, port: int, model_port: int) -> list[str] | None:
    def at(number: int) -> dict[str, object]:
        return {"address": {"socket_address": {"address": "127.0.0.1", "port_value": number}}}

    router = {"name": "router", "typed_config": {"@type": f"{_TYPE}.http.router.v3.Router"}}
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "model", "timeout": "0s"}}]
    manager = {
        "@type": f"{_TYPE}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "proxy",
        "route_config": {"virtual_hosts": [{"name": "model", "domains": ["*"], "routes": routes}]},
        "http_filters": [router],
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    ends = [{"lb_endpoints": [{"endpoint": at(model_port)}]}]
    cluster = {
        "name": "model",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "model", "endpoints": ends},
    }
    resources = {"listeners": [at(port) | {"filter_chains": [chain]}], "clusters": [cluster]}
    path = folder / "envoy.json"
    path.write_text(json.dumps({"static_resources": resources}))
    program = shutil.which("envoy")
    options = ["--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id"]
    return [program, "-c", str(path), *options] if program else None


def _vllm_router(folder: Path, port: int, model_port: int) -> list[str] | None:
    program = shutil.which("vllm-router")
    options = ["--host", "127.0.0.1", "--port", str(port), "--policy", "round_robin", "--log-level", "error"]
    options += ["--prometheus-port", str(free_port()), "--log-dir", str(folder)]
    return [program, "--worker-urls", f"http://127.0.0.1:{model_port}", *options] if program else None


def _portkey(folder: Path, port: int, model_port: int) -> list[str] | None:
    del folder, model_port
    program = shutil.which("gateway")
    return [program, f"--port={port}", "--headless"] if program else None


def _litellm(folder: Path, port: int, model_port: int) -> list[str] | None:
    served = {"model": "openai/m", "api_base": f"http://127.0.0.1:{model_port}/v1", "api_key": "sk-bench"}
    path = folder / "litellm.yaml"
    models = [{"model_name": "m", "litellm_params": served}]
    path.write_text(json.dumps({"model_list": models, "general_settings": {"master_key": "sk-bench"}}))
    program = shutil.which("litellm")
    options = ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1", "--telemetry", "False"]
    return [program, "--config", str(path), *options] if program else None


def others(model_port: int) -> list[Peer]:
    """List the proxies that are not ours."""
    custom = f"x-portkey-custom-host: http://127.0.0.1:{model_port}/v1"
    return [
        Peer("nginx", _nginx),
        Peer("Envoy", _envoy),
        Peer("vLLM's router", _vllm_router),
        Peer("Portkey gateway", _portkey, ("x-portkey-provider: openai", custom)),
        Peer("LiteLLM proxy", _litellm),
    ]
