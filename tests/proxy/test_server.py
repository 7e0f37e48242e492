"""The proxy as processes: several workers, kill -9, drain, the admin listener, and a port that is taken."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitor.bus.open import open_bus
from monitor.contract import Shift, Tier, Verdict
from monitor.contract.config import load_config
from proxy.server import _install_salt
from tests.proxy.conftest import Model
from tests.proxy.processes import RunningProxy

Serve = Callable[[type[BaseHTTPRequestHandler]], str]
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


class Paced(Model):
    """A model that takes a while for a stream."""

    pace_s = 0.4


def ask(base: str, document: object, timeout_s: float = 10.0) -> tuple[int, bytes]:
    """POST a chat request."""
    request = urllib.request.Request(  # noqa: S310 - our own loopback
        base + "/v1/chat/completions", json.dumps(document).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=timeout_s) as response:  # noqa: S310 - our own loopback
        return response.status, response.read()


def adds_up(mirror: dict[str, object]) -> bool:
    """Whether everything received is mirrored or dropped."""
    dropped = mirror["dropped"]
    assert isinstance(dropped, dict)
    return mirror["pending"] == 0 and mirror["received"] == mirror["mirrored"] + sum(dropped.values())  # type: ignore[operator]


def test_kill_9_of_a_worker_keeps_serving_and_counting(tmp_path: Path, serve: Serve) -> None:
    """The others serve on, the dead one comes back, and the counts match the bus to the exchange."""
    config = {"proxy": {"upstream": serve(Model) + "/v1", "workers": 2}}
    with RunningProxy(tmp_path, config) as proxy:
        proxy.wait_for(lambda: proxy.status()["workers"]["alive"] == 2)
        served, stop = [], threading.Event()

        def keep_asking() -> None:
            while not stop.is_set():
                try:
                    served.append(ask(proxy.base, CHAT)[0])
                except (OSError, http.client.HTTPException):
                    served.append(0)

        threads = [threading.Thread(target=keep_asking) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(2):
            time.sleep(0.4)
            killed = proxy.workers()[0]
            os.kill(killed, signal.SIGKILL)
            proxy.wait_for(lambda gone=killed: gone not in proxy.workers() and len(proxy.workers()) == 2)
        time.sleep(0.3)
        stop.set()
        for thread in threads:
            thread.join()
        proxy.wait_for(lambda: adds_up(proxy.mirror()))
        mirror = proxy.mirror()
        # Only requests that ran on a killed worker may fail, at most one for each asking thread and kill.
        assert served.count(200) > 50
        assert len(served) - served.count(200) <= 8
        assert mirror["received"] >= served.count(200)
        bus = open_bus(load_config(tmp_path / "config.yaml"))
        assert bus.stats().published == mirror["mirrored"]
        bus.close()


def test_sigterm_drains(tmp_path: Path, serve: Serve) -> None:
    """A running stream finishes, new connections are refused, the mirror is flushed, the exit status is 0."""
    config = {"proxy": {"upstream": serve(Paced) + "/v1"}, "mirror": {"flush_s": 30.0}}
    with RunningProxy(tmp_path, config) as proxy:
        answers: list[tuple[int, bytes]] = []
        thread = threading.Thread(target=lambda: answers.append(ask(proxy.base, CHAT | {"stream": True})))
        thread.start()
        proxy.wait_for(lambda: proxy.status()["requests"]["in_flight"] == 1)
        proxy.process.send_signal(signal.SIGTERM)
        proxy.wait_for(lambda: proxy.get(proxy.admin + "/-/readyz") is None)
        assert proxy.process.wait(15) == 0
        thread.join()
    assert answers[0][0] == 200
    assert answers[0][1].endswith(b"data: [DONE]\n\n")
    bus = open_bus(load_config(tmp_path / "config.yaml"))
    assert bus.stats().published == 1
    bus.close()


def test_the_admin_listener_and_the_main_one(tmp_path: Path, serve: Serve) -> None:
    """Status and drift stand on both, metrics on the admin's only; a verdict arrives within two seconds."""
    with RunningProxy(tmp_path, {"proxy": {"upstream": serve(Model) + "/v1"}}) as proxy:
        ask(proxy.base, CHAT)
        bus = open_bus(load_config(tmp_path / "config.yaml"))
        shift = Shift(kind="new_cluster", name="said", baseline=0.0, window=0.2)
        told = Verdict(route="default", arm="control", tier=Tier.MINOR, time=time.time(), shifts=(shift,))
        bus.put_verdicts([told])
        bus.close()
        for base in (proxy.base, proxy.admin):

            def shown(url: str = base + "/-/drift/default") -> bool:
                verdicts = json.loads(proxy.get(url) or b"{}")["verdicts"]
                return [found["tier"] for found in verdicts] == ["minor"]

            proxy.wait_for(shown, 2.5)
            assert proxy.get(base + "/-/livez") == b"ok\n"
            assert proxy.get(base + "/-/readyz") == b"ok\n"
            assert json.loads(proxy.get(base + "/-/status") or b"")["version"]
            assert proxy.get(base + "/-/drift/nobody") is None
            assert (b'"said"' in (proxy.get(base + "/-/drift") or b"")) == (base == proxy.admin)
        proxy.wait_for(lambda: proxy.mirror()["mirrored"] == 1)
        families = text_string_to_metric_families((proxy.get(proxy.admin + "/metrics") or b"").decode())
        samples = {
            (s.name, *sorted(s.labels.values())): s.value for family in families for s in family.samples
        }
        assert samples["driftgate_mirror_exchanges_total",] == 1
        assert samples["driftgate_tier", "control", "default", "minor"] == 1
        assert samples["driftgate_response_seconds_count", "default"] >= 1
        # On the main listener this path is the upstream's.
        assert b'"object": "list"' in (proxy.get(proxy.base + "/metrics") or b"")


class Noting(Model):
    """A model that notes whose key it was asked with."""

    seen: list[str | None] = []  # noqa: RUF012 - filled by the server's threads, read by the test

    def do_POST(self) -> None:  # noqa: N802 - the name that http.server calls
        """Note, then answer."""
        self.seen.append(self.headers.get("authorization"))
        super().do_POST()


def test_secrets_are_nowhere(tmp_path: Path, serve: Serve) -> None:
    """Keys, configured and the client's, reach neither log, status, metrics nor state."""
    config = {
        "proxy": {"upstream": serve(Noting) + "/v1"},
        "routes": [{"name": "r", "variant": {"api_key": "env:TEST_KEY"}}],
    }
    with RunningProxy(tmp_path, config, {"TEST_KEY": "marked-secret-1"}) as proxy:
        headers = {"content-type": "application/json", "authorization": "Bearer marked-secret-2"}
        headers |= {"cookie": "marked-secret-3", "api-key": "marked-secret-4"}
        for path in ("/v1/chat/completions", "/v1/embeddings"):
            body = json.dumps(CHAT | {"user": "marked-secret-5"}).encode()
            request = urllib.request.Request(proxy.base + path, body, headers)  # noqa: S310 - our own loopback
            urllib.request.urlopen(request, timeout=5).close()  # noqa: S310 - our own loopback
        proxy.wait_for(lambda: proxy.mirror()["pending"] == 0)
        shown = [proxy.get(proxy.admin + path) or b"" for path in ("/-/status", "/metrics", "/-/drift")]
    kept = [path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert len(kept) > 2
    for text in (*shown, *kept, proxy.log_path.read_bytes()):
        assert b"marked-secret" not in text
    assert set(Noting.seen) == {"Bearer marked-secret-1"}


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    """The exit status is 2 and the line names the key and the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [
            sys.executable,
            "-m",
            "proxy",
            "proxy",
            "--listen",
            address,
            "--state",
            str(tmp_path / "s"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert (
        done.stderr.strip() == f"driftgate: proxy.listen: cannot listen on {address}: Address already in use"
    )


def test_a_killed_parent_takes_its_workers_along(tmp_path: Path, serve: Serve) -> None:
    """Workers notice, drain and let go of the port; a new start on the same state settles what is left."""
    config = {"proxy": {"upstream": serve(Model) + "/v1"}}
    with RunningProxy(tmp_path, dict(config)) as proxy:
        ask(proxy.base, CHAT)
        (worker,) = proxy.workers()
        proxy.process.kill()
        proxy.process.wait()
        deadline = time.monotonic() + 10
        while Path(f"/proc/{worker}/stat").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not Path(f"/proc/{worker}/stat").exists()
        port = int(proxy.base.rpartition(":")[2])
    config["proxy"]["listen"] = f"127.0.0.1:{port}"
    with RunningProxy(tmp_path, config) as proxy:
        ask(proxy.base, CHAT)
        proxy.wait_for(lambda: adds_up(proxy.mirror()))
        assert proxy.mirror()["mirrored"] == 2


def test_idle_memory(tmp_path: Path, serve: Serve) -> None:
    """A worker at rest stays below 80 MB and has loaded neither numpy nor litellm."""
    with RunningProxy(tmp_path, {"proxy": {"upstream": serve(Model) + "/v1"}}) as proxy:
        ask(proxy.base, CHAT)
        (worker,) = proxy.workers()
        pages = int(Path(f"/proc/{worker}/statm").read_text().split()[1])
        mapped = Path(f"/proc/{worker}/maps").read_text()
    assert pages * os.sysconf("SC_PAGE_SIZE") < 80e6
    assert "numpy" not in mapped
    assert "litellm" not in mapped


@pytest.mark.parametrize("workers", [1])
def test_workers_that_cannot_run_end_the_parent(tmp_path: Path, workers: int) -> None:
    """When every worker ends at once, the parent gives up with status 1."""
    # A worker cannot make its scoreboard where a file stands in the way of the state directory's folder.
    broken = {"PYTHONPATH": str(tmp_path)}
    (tmp_path / "uvloop.py").write_text("raise SystemExit('no loop here')\n")
    command = [sys.executable, "-m", "proxy", "proxy", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    command += ["--state", str(tmp_path / "s"), "--workers", str(workers)]
    done = subprocess.run(command, capture_output=True, timeout=40, check=False, env={**os.environ, **broken})
    assert done.returncode == 1


def test_an_empty_salt_is_replaced(tmp_path: Path) -> None:
    """Users are hashed with 32 secret bytes, whatever a power cut has left of the file."""
    path = tmp_path / "salt"
    path.touch()
    salt = _install_salt(path)
    assert len(salt) == 32
    assert _install_salt(path) == salt
