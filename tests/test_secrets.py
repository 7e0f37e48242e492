"""No secret anywhere: marked ones are sent wherever a secret can be, then everything that is kept or shown is searched.

Real processes, with upstream faults and with faults of our own provoked inside them. What redaction recognises is
marked too; a harmless word beside it proves that the search sees what is kept.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from monitor.bus.open import open_bus
from monitor.contract import Exchange
from monitor.contract.config import load_config
from tests.proxy.conftest import Model, serve
from tests.proxy.processes import RunningProxy
from tests.proxy.tracing.conftest import Receiver, receiver

__all__ = ["receiver", "serve"]

# Found in everything that is kept: the search works.
HARMLESS = b"pumpernickel"
KEY = "sk-proj-MARKED0123456789abcdefghij"
# Where it is sent -> what must be nowhere. Credentials first, then what redaction knows.
CREDENTIALS = {
    "authorization": "open-sesame-authorization",
    "x-api-key": "open-sesame-x-api-key",
    "api-key": "open-sesame-api-key",
    "cookie": "open-sesame-cookie",
    "proxy-authorization": "open-sesame-proxy",
    "query": "open-sesame-query",
    "user": "open-sesame-user",
    "metadata": "open-sesame-metadata",
    "set-cookie": "open-sesame-set-cookie",
    "variant key": "open-sesame-variant",
    "admin token": "open-sesame-admin",
    "monitor token": "open-sesame-monitor",
    "traces": "Bearer open-sesame-traces",
    "tracestate": "open=sesame-tracestate",
    "provider key": "open-sesame-provider",
    "provider key of the environment": "open-sesame-environment",
}
PERSONAL = {
    "key": KEY,
    "e-mail": "marked.person@marked-mail.example",
    "card": "4111 1111 1111 1111",
    "bearer": "Bearer MARKEDtokenMARKEDtoken",
    "web token": "eyJNQVJLRURNQVJL.eyJNQVJLRURNQVJL.MARKEDsignature",
}
SAID = "a pumpernickel for " + ", ".join(PERSONAL.values()) + " please"
SECRETS = [text.encode() for text in (*CREDENTIALS.values(), *PERSONAL.values())] + [
    b"MARKED",
    b"marked-mail",
]

OURS = ("drift-", "server-timing")

# Raises inside the workers, quoting what it was given, as libraries do.
FAULTY = """
import sys
if "proxy.worker" in sys.orig_argv:
    import proxy.assemble, proxy.forward, proxy.request_side
    read, to_client = proxy.assemble._read_request, proxy.forward.to_client
    def quoting_read(endpoint, capture, limit):
        body = b"".join(capture.request)
        if b"fault while assembling" in body:
            try:
                raise KeyError(body)
            except KeyError as error:
                raise ValueError(f"cannot read {body!r}") from error
        return read(endpoint, capture, limit)
    def quoting_headers(headers, own=()):
        if any(name == b"fault-while-serving" for name, _ in headers):
            raise ValueError(f"cannot send {headers!r}")
        return to_client(headers, own)
    proxy.assemble._read_request, proxy.forward.to_client = quoting_read, quoting_headers
"""
MONITOR = """
import sys
from monitor.contract.config import load_config
from monitor.scorer.fake import FakeScorer
from monitor.service import run_monitor
class Quoting(FakeScorer):
    faults = 0
    def score(self, prompts, responses):
        if any("fault while scoring" in prompt for prompt in prompts) and self.faults < 1:
            self.faults += 1
            raise ValueError(f"cannot score {prompts!r}")
        return super().score(prompts, responses)
sys.exit(run_monitor(load_config(sys.argv[1]), scorer_from=lambda _: Quoting()))
"""


class Leaky(Model):
    """A model that says what it was told, also where it should not, and fails when asked to."""

    def do_POST(self) -> None:  # noqa: N802 - the name that http.server calls
        """Answer by the request's model."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        model = asked["model"]
        if model == "resets":
            self.connection.close()
            self.close_connection = True
        elif model == "garbage":
            self.wfile.write(f"{KEY} {SAID}\r\n\r\n".encode())
            self.close_connection = True
        elif model == "refuses":
            self._answer(
                401, {"error": {"message": f"Incorrect API key provided: {KEY}", "code": KEY, "type": SAID}}
            )
        elif asked.get("stream"):
            self._leaky_stream(cut=model == "cut")
        else:
            self._answer(200, self._leaky_chat(), fault=model == "fault")

    def _leaky_chat(self) -> dict[str, Any]:
        call = {
            "id": "c",
            "type": "function",
            "function": {"name": "pay", "arguments": json.dumps({"with": SAID})},
        }
        message = {"role": "assistant", "content": SAID, "reasoning_content": SAID, "tool_calls": [call]}
        return {"model": KEY, "choices": [{"index": 0, "message": message, "finish_reason": KEY}]}

    def _answer(self, status: int, document: object, *, fault: bool = False) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("set-cookie", CREDENTIALS["set-cookie"])
        if fault:
            self.send_header("fault-while-serving", KEY)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _leaky_stream(self, *, cut: bool) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        # Every secret arrives in pieces.
        for start in range(0, len(SAID), 7):
            choice = {"index": 0, "delta": {"content": SAID[start : start + 7]}}
            self._chunk(b"data: " + json.dumps({"model": "m", "choices": [choice]}).encode() + b"\n\n")
        if cut:
            self.close_connection = True
            return
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")


def body_of(model: str, **more: Any) -> dict[str, Any]:
    """Write a chat request with secrets in all its parts."""
    system = {"role": "system", "content": f"You are {CREDENTIALS['metadata']}. {SAID}"}
    parts = [{"type": "text", "text": SAID}, {"type": "image_url", "image_url": {"url": f"data:,{KEY}"}}]
    talk = [system, {"role": "user", "content": SAID}, {"role": "user", "content": parts}]
    return {
        "model": model,
        "messages": talk,
        "user": CREDENTIALS["user"],
        "metadata": {"password": CREDENTIALS["metadata"], "api_key": KEY},
        "api_key": CREDENTIALS["metadata"],
    } | more


def send(base: str, document: object, path: str = "/v1/chat/completions") -> str:
    """Send a request with a secret in every header; return the headers of ours that came back, if anything did."""
    headers = {name: CREDENTIALS[name] for name in ("x-api-key", "api-key", "cookie", "proxy-authorization")}
    headers |= {"authorization": f"Bearer {CREDENTIALS['authorization']}", "content-type": "application/json"}
    headers |= {"x-forwarded-for": KEY, CREDENTIALS["cookie"]: "1", "tracestate": CREDENTIALS["tracestate"]}
    headers["traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    url = f"{base}{path}?key={CREDENTIALS['query']}"
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - our own loopback
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own loopback
            answer.read()
            return ours(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return ours(error.headers)
    except (OSError, http.client.HTTPException):
        return ""


def ours(headers: Any) -> str:
    """Pick the headers that the proxy writes."""
    return "".join(f"{name}: {value}\n" for name, value in headers.items() if name.lower().startswith(OURS))


def read(url: str, token: str = "") -> bytes:
    """GET a page, errors included."""
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {token}"})  # noqa: S310 - our own loopback
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - our own loopback
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.read()


class Town:
    """A proxy and a monitor over one state directory, both with faults inside, before a leaky model."""

    def __init__(self, folder: Path, upstream: str, traces: str, ports: list[int]) -> None:
        monitor_port, dead_port = ports
        (folder / "faulty").mkdir()
        (folder / "faulty" / "sitecustomize.py").write_text(FAULTY)
        environment = {
            "VARIANT_KEY": CREDENTIALS["variant key"],
            "ADMIN_TOKEN": CREDENTIALS["admin token"],
            "MONITOR_TOKEN": CREDENTIALS["monitor token"],
            "TRACES": CREDENTIALS["traces"],
        }
        names = ["m", "resets", "garbage", "refuses", "cut", "fault"]
        routes: list[dict[str, Any]] = [{"name": name, "match": name} for name in names]
        routes[0]["variant"] = {"api_key": "env:VARIANT_KEY"}
        routes.append(
            {"name": "dead", "match": "dead", "variant": {"upstream": f"http://127.0.0.1:{dead_port}/v1"}}
        )
        config = {
            "proxy": {
                "upstream": upstream + "/v1",
                "server_timing": True,
                "traces": {"endpoint": traces, "authorization": "env:TRACES"},
            },
            "admin": {"listen": "127.0.0.1:0", "token": "env:ADMIN_TOKEN"},
            "monitor": {
                "listen": f"127.0.0.1:{monitor_port}",
                "token": "env:MONITOR_TOKEN",
                "evaluate_every_s": 0.2,
            },
            "baseline": {"size": 100, "span_hours": 0, "clusters": 2},
            "detection": {"min_window": 10},
            "routes": routes,
        }
        faulty = {"PYTHONPATH": str(folder / "faulty")}
        self.folder, self.state, self.token = folder, folder / "state", CREDENTIALS["admin token"]
        self.proxy = RunningProxy(folder, config, environment | faulty)
        self.monitor_address = f"http://127.0.0.1:{monitor_port}"
        self.monitor_log = folder / "monitor.log"
        with self.monitor_log.open("wb") as log:
            command = [sys.executable, "-c", MONITOR, str(folder / "config.yaml")]
            self.monitor = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **environment}
            )
        self.environment = environment

    def page(self, path: str, *, of_monitor: bool = False) -> bytes:
        """GET a page as somebody who may."""
        if of_monitor:
            return read(self.monitor_address + path, CREDENTIALS["monitor token"])
        return read(self.proxy.admin + path, self.token)

    def mirror(self) -> dict[str, Any]:
        """Return the mirror's counts."""
        return dict(json.loads(self.page("/-/status"))["mirror"])

    def until(self, holds: Callable[[], Any], within_s: float = 20.0) -> None:
        """Poll until something is true."""
        deadline = time.monotonic() + within_s
        while not holds():
            logs = self.proxy.log_path.read_text() + self.monitor_log.read_text()
            assert time.monotonic() < deadline, logs
            time.sleep(0.05)

    def monitor_scored(self) -> int:
        """Count what the monitor has finished with; 0 while it does not answer."""
        try:
            return int(json.loads(self.page("/-/status", of_monitor=True))["bus"]["acknowledged"])
        except (OSError, ValueError):
            return 0

    def pages(self) -> dict[str, bytes]:
        """Read every page of both, authorised and not."""
        found = {}
        for path in (
            "/-/status",
            "/-/drift",
            "/-/drift/m",
            "/-/drift/none",
            "/metrics",
            "/-/livez",
            "/-/readyz",
        ):
            for base, token in (
                (self.proxy.base, ""),
                (self.proxy.admin, ""),
                (self.proxy.admin, self.token),
            ):
                found[f"{base}{path} {token}"] = read(base + path, token)
            found[f"monitor {path}"] = self.page(path, of_monitor=True)
        found["baselines"] = self.page("/-/baselines", of_monitor=True)
        return found

    def kept(self) -> dict[str, bytes]:
        """Read every file of the state directory and both processes' output."""
        files = [path for path in self.state.rglob("*") if path.is_file()]
        return {str(path): path.read_bytes() for path in [*files, self.proxy.log_path, self.monitor_log]}

    def end(self) -> None:
        """Stop both."""
        self.monitor.send_signal(signal.SIGTERM)
        self.monitor.wait(20)
        self.proxy.__exit__()


def exchanges(config: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> list[Exchange]:
    """Read what is on the bus."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    bus = open_bus(load_config(config))
    batches = bus.fetch("search", 10_000, time.time() + 9e5, 0.0)
    bus.close()
    return [exchange for batch in batches for exchange in batch.exchanges]


@pytest.fixture
def town(
    tmp_path: Path,
    serve: Callable[[type[BaseHTTPRequestHandler]], str],
    receiver: Receiver,
    free_ports: Callable[[int], list[int]],
) -> Iterator[Town]:
    """Give both, running."""
    town = Town(tmp_path, serve(Leaky), receiver.endpoint, free_ports(2))
    try:
        yield town
    finally:
        if town.monitor.poll() is None:
            town.end()


def provoke(town: Town) -> str:
    """Send secrets everywhere, make everything fail once, and let a verdict be made of it; return headers of ours."""
    base = town.proxy.base
    told = "".join(send(base, body_of("m")) for _ in range(130))
    told += "".join(
        send(base, body_of(model)) for model in ("resets", "garbage", "refuses", "fault", "dead", KEY)
    )
    told += send(base, body_of("m", stream=True))
    send(base, body_of("cut", stream=True))
    send(base, body_of("m", messages=[{"role": "user", "content": f"fault while assembling {SAID}"}]))
    send(base, body_of("m", messages=[{"role": "user", "content": f"fault while scoring {SAID}"}]))
    send(base, f'{{"model": "m", "messages": "{SAID}'.encode())
    send(base, body_of("m"), "/v1/embeddings")
    send(base, body_of("m"), f"/-/{CREDENTIALS['query']}")
    send(base, {"model": "m", "prompt": SAID}, "/v1/completions")
    send(base, {"model": "m", "input": SAID, "instructions": CREDENTIALS["metadata"]}, "/v1/responses")
    send(town.monitor_address, body_of("m"), "/-/baselines")
    return told


def test_no_secret_is_kept_or_shown_anywhere(town: Town, receiver: Receiver):
    """Not in files, pages, traces, headers or output, whatever fails; redaction leaves its marks and other words."""
    told = provoke(town)
    assert "proxy;dur=" in told
    assert "upstream_refused" in told
    town.until(lambda: town.mirror()["pending"] == 0)
    mirror = town.mirror()
    assert mirror["dropped"]["internal"] == 1
    town.until(lambda: town.monitor_scored() >= mirror["mirrored"])
    town.until(lambda: json.loads(town.page("/-/status", of_monitor=True))["baselines"])
    town.until(lambda: json.loads(town.page("/-/drift"))["verdicts"])
    status = json.loads(town.page("/-/status"))
    faults = {"upstream_reset", "upstream_garbage", "upstream_refused", "model_not_routed"}
    assert faults <= set(status["requests"]["faults"])
    places = {**town.pages(), **town.kept()}
    town.end()
    places |= town.kept()
    traces = b"".join(receiver.bodies)
    places |= {"our headers": told.encode(), "traces": traces}
    for place, text in places.items():
        for secret in SECRETS:
            assert secret not in text, f"{secret!r} in {place}"
    proxy_log, monitor_log = town.proxy.log_path.read_text(), town.monitor_log.read_text()
    assert "quoting_read" in proxy_log
    assert "KeyError" in proxy_log
    assert "quoting_headers" in proxy_log
    (fault,) = town.proxy.logged("fault while serving")
    assert len(fault["exchange"]) == 28
    assert traces.count(b"chat m") > 100
    assert HARMLESS not in traces
    assert "a step failed" in monitor_log
    assert HARMLESS.decode() not in proxy_log + monitor_log
    assert any(HARMLESS in text for place, text in places.items() if "bus.sqlite" in place)
    assert any(HARMLESS in text for place, text in places.items() if "monitor.sqlite" in place)
    assert any(b"[email]" in text for place, text in places.items() if "bus.sqlite" in place)


def test_a_user_is_a_hash_that_reveals_nothing(town: Town, monkeypatch: pytest.MonkeyPatch):
    """One user is one hash; without the installation's salt it cannot be computed from the key."""
    for _ in range(3):
        send(town.proxy.base, body_of("m", user=None))
    send(town.proxy.base, body_of("m"))
    town.until(lambda: town.mirror()["mirrored"] == 4)
    town.end()
    found = exchanges(town.folder / "config.yaml", town.environment, monkeypatch)
    users = {exchange.user for exchange in found}
    assert len(found) == 4
    assert len(users) == 2
    for user in users:
        assert user is not None
        assert re.fullmatch("[0-9a-f]{12}", user)
    for known in (
        CREDENTIALS["authorization"],
        f"Bearer {CREDENTIALS['authorization']}",
        CREDENTIALS["user"],
    ):
        for name in ("blake2b", "blake2s", "sha256", "sha1", "md5"):
            assert hashlib.new(name, known.encode()).hexdigest()[:12] not in users
        assert hashlib.blake2b(known.encode(), digest_size=6).hexdigest() not in users
    salt = town.state / "proxy" / "salt"
    assert salt.stat().st_mode & 0o077 == 0


class LeakyProvider(Model):
    """A provider that speaks Anthropic's API, knows its own key and repeats whatever it was sent."""

    keys: list[str | None] = []  # noqa: RUF012 - filled by the server's threads, read by the test

    def do_POST(self) -> None:  # noqa: N802 - the name that http.server calls
        """Answer by model."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        key = self.headers.get("x-api-key")
        self.keys.append(key)
        if asked["model"] == "refuses":
            said = {"type": "authentication_error", "message": f"invalid {key}: {SAID}"}
            self._json(401, {"type": "error", "error": said})
        elif asked["model"] == "garbage":
            self.wfile.write(f"{key} {SAID}\r\n\r\n".encode())
            self.close_connection = True
        else:
            usage = {"input_tokens": 1, "output_tokens": 1}
            content = [{"type": "text", "text": SAID}]
            message = {"id": "1", "type": "message", "role": "assistant", "model": KEY, "content": content}
            self._json(200, {**message, "stop_reason": "end_turn", "usage": usage})


def test_no_secret_of_a_providers_route_is_kept_or_shown(tmp_path: Path, serve: Any, receiver: Receiver):
    """A key of the configuration, one of the environment, and what litellm makes of faults that quote them."""
    url = serve(LeakyProvider)
    variant = {"provider": "litellm", "upstream": url}
    names = ("says", "refuses", "garbage")
    routes = [
        {
            "name": name,
            "match": name,
            "variant": {**variant, "model": f"anthropic/{name}", "api_key": "env:OWN"},
        }
        for name in names
    ]
    routes.append({"name": "keyless", "match": "keyless", "variant": {**variant, "model": "anthropic/says"}})
    environment = {
        "OWN": CREDENTIALS["provider key"],
        "ANTHROPIC_API_KEY": CREDENTIALS["provider key of the environment"],
    }
    config = {"proxy": {"traces": {"endpoint": receiver.endpoint}, "server_timing": True}, "routes": routes}
    with RunningProxy(tmp_path, config, environment) as proxy:
        send_patiently(proxy.base, body_of("says"))  # an image that litellm cannot read, and quotes
        words = [{"role": "user", "content": SAID}]
        for name in (*names, "keyless"):
            send_patiently(proxy.base, body_of(name, messages=words))
        send_patiently(proxy.base, body_of("keyless", messages=words), authorised=False)
        proxy.wait_for(lambda: proxy.mirror()["pending"] == 0)
        pages = b"".join(
            read(base + path)
            for base in (proxy.base, proxy.admin)
            for path in ("/-/status", "/-/drift", "/metrics")
        )
        assert proxy.stop() == 0
    own, given = CREDENTIALS["provider key"], CREDENTIALS["authorization"]
    assert set(LeakyProvider.keys) == {own, given, CREDENTIALS["provider key of the environment"]}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    places = {str(path): path.read_bytes() for path in files if path.name != "config.yaml"}
    places |= {"pages": pages, "traces": b"".join(receiver.bodies)}
    for place, text in places.items():
        for secret in SECRETS:
            assert secret not in text, f"{secret!r} in {place}"
    assert receiver.bodies
    assert any(HARMLESS in text for place, text in places.items() if "bus.sqlite" in place)


def send_patiently(base: str, document: object, *, authorised: bool = True) -> None:
    """Send while the provider's library may still be being imported."""
    headers = {"content-type": "application/json"}
    if authorised:
        headers["authorization"] = f"Bearer {CREDENTIALS['authorization']}"
    request = urllib.request.Request(  # noqa: S310 - our own loopback
        base + "/v1/chat/completions", json.dumps(document).encode(), headers
    )
    try:
        urllib.request.urlopen(request, timeout=60).read()  # noqa: S310 - our own loopback
    except urllib.error.HTTPError as error:
        error.close()
