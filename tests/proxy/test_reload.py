"""A new configuration takes effect between two requests, under load, and a wrong one changes nothing."""

from __future__ import annotations

import http.client
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import yaml

from monitor.bus.open import open_bus
from monitor.contract.config import Config, load_config
from proxy.reload import plan_reload
from tests.proxy.conftest import Model
from tests.proxy.processes import RunningProxy
from tests.proxy.test_server import adds_up, ask

Serve = Callable[[type[BaseHTTPRequestHandler]], str]
REACH_ME = "a@b.example, please"
# The leader of a session makes its standard input the session's terminal, then becomes the command.
TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Old(Model):
    """The model before; its streams take a while."""

    name = "old"
    pace_s = 0.5

    def _chat(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {**super()._chat(asked), "model": self.name}


class New(Old):
    """The model after."""

    name = "new"


def change(running: RunningProxy, /, **sections: Any) -> None:
    """Write sections into the configuration file and send SIGHUP."""
    path = running.directory / "config.yaml"
    document = yaml.safe_load(path.read_text())
    for name, content in sections.items():
        document[name] = {**document.get(name, {}), **content} if isinstance(content, dict) else content
    path.write_text(yaml.safe_dump(document))
    running.process.send_signal(signal.SIGHUP)


class Load:
    """Clients that each ask again and again on one connection, and note who answered."""

    def __init__(self, base: str, clients: int) -> None:
        self.address = urlsplit(base).netloc
        self.answers: list[str] = []
        self.troubles: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask_on) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask_on(self) -> None:
        connection = http.client.HTTPConnection(self.address, timeout=10)
        connection.connect()
        first, body = connection.sock, json.dumps({"model": "m", "messages": []})
        try:
            while not self._stop.is_set():
                connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
                answer = json.loads(connection.getresponse().read())
                self.answers.append(answer.get("model") or answer["error"]["code"])
                if connection.sock is not first:
                    self.troubles.append("the connection was dropped")
                    return
        except (OSError, http.client.HTTPException) as error:
            self.troubles.append(repr(error))
        finally:
            connection.close()

    def answers_now(self, name: str) -> bool:
        """Whether the latest answers all came from there, and many of them."""
        return len(self.answers) > 40 and set(self.answers[-40:]) == {name}

    def end(self) -> None:
        """Stop asking."""
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_new_upstreams_take_effect_under_load_and_no_connection_drops(tmp_path: Path, serve: Serve) -> None:
    """Ten changes to and fro, transports replaced on the way: no error, no lost connection, running streams end whole."""
    upstreams = {"old": serve(Old) + "/v1", "new": serve(New) + "/v1"}
    config = {"proxy": {"upstream": upstreams["old"], "workers": 2}}
    with RunningProxy(tmp_path, config) as proxy:
        proxy.wait_for(lambda: proxy.status()["workers"]["alive"] == 2)
        workers, streams = proxy.workers(), []
        load = Load(proxy.base, 6)
        try:
            proxy.wait_for(lambda: load.answers_now("old"))
            streaming = [
                threading.Thread(
                    target=lambda: streams.append(
                        ask(proxy.base, {"model": "m", "messages": [], "stream": True})
                    )
                )
                for _ in range(4)
            ]
            for thread in streaming:
                thread.start()
            proxy.wait_for(lambda: proxy.status()["requests"]["in_flight"] >= 4)
            for turn in range(10):
                to = "new" if turn % 2 == 0 else "old"
                # Other timeouts make another transport; equal ones keep it.
                timeouts = {"connect_s": 5.0 + turn // 2}
                change(proxy, proxy={"upstream": upstreams[to], "timeouts": timeouts})
                proxy.wait_for(lambda to=to: load.answers_now(to))
        finally:
            load.end()
        for thread in streaming:
            thread.join()
        assert load.troubles == []
        assert set(load.answers) == {"old", "new"}
        assert [status for status, _ in streams] == [200] * 4
        assert all(body.endswith(b"data: [DONE]\n\n") for _, body in streams)
        assert proxy.workers() == workers
        assert len(proxy.logged("configuration reloaded")) == 10
        assert proxy.status()["requests"]["faults"] == {}
        assert proxy.status()["upstreams"][0]["upstream"] == upstreams["old"]
        proxy.wait_for(lambda: adds_up(proxy.mirror()))


def test_a_bad_file_keeps_the_old_configuration_and_says_why_in_one_line(
    tmp_path: Path, serve: Serve
) -> None:
    """A wrong key, a wrong value, no YAML at all, no file; the next good one is taken."""
    with RunningProxy(tmp_path, {"proxy": {"upstream": serve(Old) + "/v1"}}) as proxy:
        path = tmp_path / "config.yaml"
        good = path.read_text()
        load = Load(proxy.base, 2)
        try:
            for number, (bad, why) in enumerate(
                [
                    (good + "nonsense: 1\n", "unknown key `nonsense`"),
                    (good.replace("/v1", "/v1?key=open-sesame"), "proxy.upstream: got"),
                    ("{", "config.yaml"),
                ],
                1,
            ):
                path.write_text(bad)
                proxy.process.send_signal(signal.SIGHUP)
                proxy.wait_for(
                    lambda n=number: len(proxy.logged("configuration refused, the old one stays")) == n
                )
                assert why in proxy.logged("configuration refused, the old one stays")[-1]["reason"]
            path.unlink()
            proxy.process.send_signal(signal.SIGHUP)
            proxy.wait_for(lambda: len(proxy.logged("configuration refused, the old one stays")) == 4)
            before = len(load.answers)
            proxy.wait_for(lambda: len(load.answers) > before + 50)
        finally:
            load.end()
        assert load.troubles == []
        assert set(load.answers) == {"old"}
        assert "open-sesame" not in proxy.log_path.read_text()
        assert proxy.logged("configuration reloaded") == []
        path.write_text(good)
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_for(lambda: proxy.logged("configuration reloaded"))


def test_routes_mirror_rules_tokens_and_headers_take_effect(tmp_path: Path, serve: Serve) -> None:
    """A new route serves, sampling and redaction change, the status wants the new token; a restarted worker agrees."""
    old, new = serve(Old) + "/v1", serve(New) + "/v1"
    said = {"model": "m", "messages": [{"role": "user", "content": REACH_ME}]}
    config = {"proxy": {"upstream": old}, "mirror": {"sample": 0.0}}
    with RunningProxy(tmp_path, config, {"FRESH_TOKEN": "fresh"}) as proxy:
        ask(proxy.base, said)
        change(
            proxy,
            mirror={"sample": 1.0, "redact": [], "redact_patterns": {"please": "please"}},
            routes=[{"name": "a", "match": "a-*", "variant": {"upstream": new}}, {"name": "rest"}],
            admin={"token": "env:FRESH_TOKEN"},
        )
        proxy.wait_for(lambda: json.loads(ask(proxy.base, said | {"model": "a-1"})[1])["model"] == "new")
        assert json.loads(ask(proxy.base, said)[1])["model"] == "old"
        for base in (proxy.base, proxy.admin):
            assert proxy.get(base + "/-/status") is None
        os.kill(proxy.workers()[0], signal.SIGKILL)
        proxy.wait_for(lambda: answered(proxy, said | {"model": "a-2"}) == "new")
        assert answered(proxy, said) == "old"
        assert proxy.stop() == 0
        taken = set(proxy.logged("configuration reloaded")[0]["changed"])
    changed = {"admin.token", "mirror.redact", "mirror.redact_patterns", "mirror.sample", "routes"}
    assert taken == changed
    bus = open_bus(msgspec.structs.replace(Config(), state_dir=str(tmp_path / "state")))
    batches = bus.fetch("test", 100, time.time() + 9e5, 0.0)
    bus.close()
    exchanges = [exchange for batch in batches for exchange in batch.exchanges]
    assert {exchange.route for exchange in exchanges} == {"a", "rest"}
    assert {exchange.prompt for exchange in exchanges} == {REACH_ME.replace("please", "[please]")}


def answered(proxy: RunningProxy, document: object) -> str:
    """Return who answers; nothing while a worker comes back."""
    try:
        return str(json.loads(ask(proxy.base, document)[1])["model"])
    except (OSError, http.client.HTTPException):
        return ""


def test_what_needs_a_restart_is_said_in_one_line(tmp_path: Path, serve: Serve) -> None:
    """Addresses, workers and state stay; keys that other processes read are named apart."""
    with RunningProxy(tmp_path, {"proxy": {"upstream": serve(Old) + "/v1"}}) as proxy:
        change(
            proxy,
            proxy={"listen": "127.0.0.1:1", "workers": 3, "headers": "off"},
            state_dir=str(tmp_path / "elsewhere"),
            detection={"min_window": 60},
        )
        (line,) = proxy.wait_for(lambda: proxy.logged("configuration needs a restart"))
        assert line["of_proxy"] == ["proxy.listen", "proxy.workers", "state_dir"]
        assert line["of_the_others"] == ["detection.min_window"]
        assert proxy.logged("configuration reloaded")[0]["changed"] == ["proxy.headers"]
        assert ask(proxy.base, {"model": "m", "messages": []})[0] == 200
        assert len(proxy.workers()) == 1
        assert not (tmp_path / "elsewhere").exists()


def test_a_terminal_that_goes_away_stops_the_proxy(tmp_path: Path, serve: Serve) -> None:
    """SIGHUP means both; where the terminal is gone it is the end, with a drain and status 0."""
    ours, theirs = pty.openpty()

    state = str(tmp_path / "state")
    command = [sys.executable, "-m", "proxy", "proxy", "--upstream", serve(Old) + "/v1", "--state", state]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                TAKE_TERMINAL,
                *command,
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "127.0.0.1:0",
            ],
            stdin=theirs,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    os.close(theirs)
    try:
        deadline = time.monotonic() + 60
        while "proxy listens" not in log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGHUP)
        while "configuration reloaded" not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        os.close(ours)
        assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def test_the_plan_names_keys_and_keeps_what_was_started() -> None:
    """Pure: what changes, what stays, what others read."""
    old = load_config(None, {"proxy.workers": 1})
    new = load_config(
        None, {"proxy.workers": 2, "mirror.sample": 0.5, "bus.retention_hours": 1.0, "baseline.seed": 3}
    )
    plan = plan_reload(old, new)
    assert plan.taken_over == ("mirror.sample",)
    assert plan.need_restart == ("bus.retention_hours", "proxy.workers")
    assert plan.others == ("baseline.seed",)
    assert plan.config.proxy.workers == 1
    assert plan.config.bus == old.bus
    assert plan.config.mirror.sample == 0.5
    again = plan_reload(plan.config, new)
    assert again.taken_over == ()
    assert again.need_restart == plan.need_restart
    assert plan_reload(old, old).config == old


def test_an_address_that_stays_open_keeps_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loopback address needs none; until the restart the public one of before is still listened on."""
    monkeypatch.setenv("FIRST", "first")
    monkeypatch.setenv("SECOND", "second")
    old = load_config(None, {"admin.listen": "0.0.0.0:8081", "admin.token": "env:FIRST"})
    plan = plan_reload(old, load_config(None, {"admin.listen": "127.0.0.1:8081"}))
    assert plan.config.admin == old.admin
    assert plan.need_restart == ("admin.listen", "admin.token")
    rotated = load_config(None, {"admin.listen": "0.0.0.0:8081", "admin.token": "env:SECOND"})
    plan = plan_reload(old, rotated)
    assert plan.config.admin == rotated.admin
    assert plan.taken_over == ("admin.token",)


def test_the_share_of_traces_changes_at_once_their_receiver_does_not() -> None:
    """The thread that sends was made at the start; who is described is asked each time."""
    key = "proxy.traces"
    old = load_config(None, {f"{key}.endpoint": "http://a.example/v1/traces", f"{key}.queue": 10})
    new = load_config(None, {f"{key}.endpoint": "http://b.example/v1/traces", f"{key}.sample": 0.5})
    plan = plan_reload(old, new)
    assert plan.taken_over == ("proxy.traces.sample",)
    assert plan.need_restart == ("proxy.traces.endpoint", "proxy.traces.queue")
    traces = plan.config.proxy.traces
    assert (traces.endpoint, traces.queue, traces.sample) == ("http://a.example/v1/traces", 10, 0.5)


def test_limits_take_effect_at_once(tmp_path: Path, serve: Serve) -> None:
    """What was allowed before the reload is refused behind it, is counted, and the status says so."""
    body = json.dumps({"model": "m", "messages": [], "padding": "x" * 500})
    with RunningProxy(tmp_path, {"proxy": {"upstream": serve(Model) + "/v1"}}) as running:

        def asked() -> tuple[int, str]:
            connection = http.client.HTTPConnection(urlsplit(running.base).netloc, timeout=10)
            connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            connection.close()
            return answer.status, answer.getheader("drift-error") or ""

        assert asked() == (200, "")
        change(running, proxy={"limits": {"body_bytes": 400}})
        running.wait_for(lambda: asked() == (413, "body_too_large"))
        change(running, proxy={"limits": {"target_bytes": 64, "header_count": 2}})
        running.wait_for(lambda: asked() == (431, "too_many_headers"))
        faults = running.wait_for(lambda: running.status()["requests"]["faults"])
        assert {"body_too_large", "too_many_headers"} <= set(faults)
        assert running.stop() == 0
