"""The process: killed, stopped, restarted, and refusing what it cannot work with."""

from __future__ import annotations

import json
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import msgspec
import pytest
import structlog

from monitor.bus.sqlite import SqliteBus
from monitor.contract.config import Config
from monitor.scorer.fake import FakeScorer
from monitor.service import run_monitor
from monitor.store import open_store
from tests.faults.harm import delete_all, overwrite_pages

MONITOR = """
import sys
from monitor.contract.config import load_config
from monitor.scorer.fake import FakeScorer
from monitor.service import run_monitor
sys.exit(run_monitor(load_config(sys.argv[1]), scorer_from=lambda _: FakeScorer()))
"""


class Process:
    """A monitor process over a state directory, with the test double for a scorer."""

    def __init__(self, folder, port, **more) -> None:
        self.folder, self.port = folder, port
        config = {
            "state_dir": str(folder),
            "log": "json",
            "monitor": {"listen": f"127.0.0.1:{port}", "evaluate_every_s": 0.2},
            "baseline": {"size": 300, "span_hours": 0, "clusters": 4},
            "scoring": {"batch": 32, "deadline_s": 0.5},
            **more,
        }
        (folder / "driftgate.yaml").write_text(json.dumps(config))
        self.process = None

    def start(self):
        """Start it."""
        command = [sys.executable, "-c", MONITOR, str(self.folder / "driftgate.yaml")]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        return self

    def end(self, number=signal.SIGTERM):
        """Send a signal, wait, and return the exit status and what was logged."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self):
        """Wait for its end and return the exit status and what was logged."""
        _, log = self.process.communicate(timeout=20)
        return self.process.returncode, log

    def status(self):
        """Ask it for its status; None while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/status", timeout=2) as answer:
                return json.load(answer)
        except OSError:
            return None

    def until(self, condition):
        """Wait until its status is so, a minute at most on a busy machine, and return it."""
        deadline = time.monotonic() + 60.0
        while True:
            status = self.status()
            if status is not None and condition(status):
                return status
            assert time.monotonic() < deadline, status
            time.sleep(0.05)


@pytest.fixture
def process(tmp_path, free_ports):
    """Give a monitor that is not started yet; whatever happens it ends with the test."""
    process = Process(tmp_path, free_ports(1)[0])
    yield process
    if process.process is not None and process.process.poll() is None:
        process.process.kill()
        process.process.communicate()


def test_killed_again_and_again_it_counts_each_exchange_once(process, tmp_path, traffic):
    """Killed at any moment while it learns, folds and judges: at the end the counts match to the exchange."""
    bus = SqliteBus(tmp_path / "bus.sqlite")
    rng = random.Random(7)
    published = 0
    for life in range(3):
        process.start()
        for seed in range(15):
            batch = traffic(rng.randrange(20, 60), seed=100 * life + seed, time=time.time())
            bus.publish("p", batch, time.time())
            published += len(batch)
        process.until(lambda _: True)
        time.sleep(rng.uniform(0.0, 0.9))  # anywhere in its work
        assert process.end(signal.SIGKILL)[0] == -signal.SIGKILL
    process.start()
    status = process.until(lambda status: status["bus"]["waiting"] == 0 and not status["learning"])
    assert status["scored"] == published == status["bus"]["acknowledged"]
    assert (status["skipped"], status["faults"]) == ({}, 0)
    assert process.end()[0] == 0
    bus.close()
    store = open_store(tmp_path / "monitor.sqlite")
    (listed,) = store.baselines.listed()
    window = store.arms.window(("default", "control"), listed.id, 0, 10**9)
    assert window is not None
    assert listed.size + window.n == published
    store.close()


def test_a_restart_goes_on_where_it_was(process, tmp_path, traffic):
    """SIGTERM: exit status 0, nothing leased. Afterwards the same baseline, and drift that was found stays found."""
    bus = SqliteBus(tmp_path / "bus.sqlite")
    for seed in range(20):
        bus.publish("p", traffic(50, seed=seed, time=time.time(), bad=seed > 10), time.time())
    process.start()
    before = process.until(lambda status: [v["tier"] for v in status["verdicts"]] == ["critical"])
    status, log = process.end()
    assert status == 0, log
    leased = bus._file.one("SELECT count(*) FROM batches WHERE state = 0 AND lease_until > 0")
    assert leased == (0,)
    bus.put_verdicts([])
    process.start()
    after = process.until(
        lambda status: status["verdicts"] and status["scored"] == 1000 and status["bus"]["waiting"] == 0
    )
    assert after["verdicts"][0]["tier"] == "critical"
    assert after["verdicts"][0]["since"] == before["verdicts"][0]["since"]
    assert [row["id"] for row in after["baselines"]] == [row["id"] for row in before["baselines"]]
    assert process.end(signal.SIGINT)[0] == 0
    bus.close()


def test_a_bus_file_that_is_lost_while_it_runs(process, tmp_path, traffic):
    """Damaged, then removed: the monitor goes on with the new file, judges again on it, and says so in one line each."""
    path = tmp_path / "bus.sqlite"
    bus = SqliteBus(path)
    process.start()
    for number, harm in enumerate((overwrite_pages, delete_all)):
        for seed in range(10):
            bus.publish("p", traffic(50, seed=10 * number + seed, time=time.time()), time.time())
        process.until(lambda status, n=number: status["scored"] == 500 * (n + 1) and status["verdicts"])
        harm(path)
        process.until(lambda status: status["bus"]["published"] == 0 and status["verdicts"])
    status = process.until(lambda status: not status["trouble"])
    assert (status["scored"], status["faults"]) == (1000, 0)
    code, log = process.end()
    assert (code, log.count("bus file was lost, going on with another one")) == (0, 2)
    bus.close()


def refused(capsys, **config):
    """Run a monitor that cannot start in this process; return what it said, which is its last line."""
    try:
        assert run_monitor(msgspec.convert(config, Config), scorer_from=lambda _: FakeScorer()) == 2
    finally:
        structlog.reset_defaults()
    said = capsys.readouterr().err
    assert "Traceback" not in said
    line = said.splitlines()[-1]
    assert line.startswith("driftgate: ")
    return line


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"bus": {"path": "{folder}"}}, "is a directory, expected a bus file"),
        ({"bus": {"path": "{folder}/text"}}, "file is not a database"),
        ({"state_dir": "{folder}/text/x"}, "cannot be opened"),
        ({"baseline": {"file": "{folder}/missing.jsonl"}}, "missing.jsonl: cannot be read"),
        ({"baseline": {"file": "{folder}/few.jsonl"}}, "a baseline needs at least"),
    ],
)
def test_what_it_cannot_work_with_is_one_line(tmp_path, capsys, more, said):
    """Faults of files and configuration: one clear line, exit status 2."""
    (tmp_path / "few.jsonl").write_text('{"prompt": "why", "response": "so"}\n')
    (tmp_path / "text").write_text("not a database but a text\n" * 100)
    filled = json.loads(json.dumps(more).replace("{folder}", str(tmp_path)))
    base = {"state_dir": str(tmp_path / "state"), "monitor": {"listen": "127.0.0.1:0"}}
    assert said in refused(capsys, **{**base, **filled})


def test_a_taken_address_is_one_line(tmp_path, capsys):
    """A port that is in use is named, with the key to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        line = refused(capsys, state_dir=str(tmp_path), monitor={"listen": address})
    assert f"monitor.listen: cannot listen on {address} (Address already in use)" in line
