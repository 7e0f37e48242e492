"""Running the real server: what does not load, what is stopped, what is left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from monitor.contract.config import Config, Scoring
from monitor.scorer.open import SHIPPED
from monitor.scorer.triton import TritonScorer
from monitor.triton.plan import Plan, Ports, TritonFault, plan
from monitor.triton.server import _SHARED_MEMORY, TritonServer, explain_exit, run_triton

RUN = """
import msgspec, sys
from monitor.contract.config import Config
from monitor.triton.server import run_triton
sys.exit(run_triton(msgspec.json.decode(sys.argv[1], type=Config)))
"""


@pytest.fixture
def configured(free_ports, tmp_path):
    """Configure a server of the test's own."""

    def configure(**scoring) -> Config:
        http, grpc, metrics = free_ports(3)
        return Config(
            state_dir=str(tmp_path),
            scoring=Scoring(http_port=http, grpc_port=grpc, metrics_port=metrics, **scoring),
        )

    return configure


def test_a_model_that_does_not_load_is_one_line(triton_installation, free_ports, tmp_path):
    """A damaged weight file ends the start with the repository, the model and the reason."""
    repository = tmp_path / "models"
    shutil.copytree(SHIPPED, repository)
    (repository / "exchange_scorer" / "1" / "weights" / "reward.safetensors").write_bytes(b"no")
    server = TritonServer(plan(triton_installation, repository, Ports(*free_ports(3)), tmp_path, os.environ))
    with pytest.raises(TritonFault, match=r"models does not load: .*reward\.safetensors") as fault:
        server.wait_ready()
    assert "\n" not in str(fault.value)


def test_a_repository_that_is_none_is_status_two(configured, tmp_path, triton_installation):
    """A wrong configuration ends `driftgate triton` with status 2 before anything starts."""
    assert run_triton(configured(model_repository=str(tmp_path / "nowhere"))) == 2


def test_it_runs_until_told_to_stop(configured, triton_installation):
    """In the foreground it logs one line when ready, scores, and ends with status 0 on SIGTERM."""
    config = configured()
    document = msgspec.json.encode(config, enc_hook=str).decode()
    process = subprocess.Popen([sys.executable, "-c", RUN, document], stdout=subprocess.PIPE, text=True)
    timer = threading.Timer(60, process.kill)
    timer.start()
    try:
        assert process.stdout is not None
        assert "triton ready" in process.stdout.readline()
        scorer = TritonScorer(f"127.0.0.1:{config.scoring.grpc_port}")
        assert scorer.score(["a"], ["b"]).errors == {}
        scorer.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stdout.read() == ""
    finally:
        timer.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
    assert not list(_SHARED_MEMORY.glob(f"driftgate_{config.scoring.grpc_port}_*"))


def test_the_reason_is_found_in_the_log():
    """The first model that does not load gives the reason; otherwise the last error does."""
    made = Plan((), {}, {}, "", Ports(1, 2, 3), Path("/models"), Path("/state/triton.log"))
    output = "I1 starting\nE1 model.cc:1] \"failed to load 'reward' version 1: Internal: ValueError: bad\"\n"
    assert "/models does not load: reward: Internal: ValueError: bad" in explain_exit(output, 1, made)
    stack = output.replace("bad", "bad\\n\\nAt:\\n  /models/reward/1/model.py(3): initialize\\n")
    assert explain_exit(stack, 1, made).endswith("ValueError: bad; log: /state/triton.log")
    unread = "E1 x.cc:1] \"Poll failed for model directory 'reward': failed to read text proto\"\n"
    assert "does not load: reward: failed to read text proto" in explain_exit(unread, 1, made)
    assert "error: creating server" in explain_exit("I1 x\nerror: creating server: y\n", 1, made)
    assert "no output" in explain_exit("", -9, made)


def test_a_state_directory_that_is_none_is_status_two(configured, tmp_path, triton_installation, capsys):
    """A file in the place of the folder is one line that names the key."""
    config = configured()
    (tmp_path / "file").touch()
    assert run_triton(msgspec.structs.replace(config, state_dir=str(tmp_path / "file"))) == 2
    said = capsys.readouterr()
    assert "state_dir" in said.out + said.err
    assert "Traceback" not in said.out + said.err
