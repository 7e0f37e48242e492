"""`driftgate calibrate` on a file and on what the bus holds, scored in this process with the shipped model."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from random import Random

import msgspec
import pytest
import yaml

from monitor.bus.sqlite import SqliteBus
from monitor.cli import build_app
from monitor.contract import Exchange
from monitor.contract.command import run_app
from monitor.contract.config import Config, Detection
from monitor.demo.customers import DELIVERY, PAYMENT, REPAIR, RETURNS, question
from monitor.demo.standin_model import Manner, answer
from monitor.offline.calibrate import Calibration
from monitor.offline.exchange_file import write_exchanges


def history(count: int, apart_s: float, route: str = "default") -> list[Exchange]:
    """Generate exchanges at equal distances."""
    random = Random(7)
    made = []
    for number in range(count):
        prompt = question((DELIVERY, RETURNS, PAYMENT, REPAIR), random)
        time = 1_700_000_000.0 + apart_s * number if apart_s else 0.0
        made.append(
            Exchange(
                id=f"{route}-{number}",
                time=time,
                prompt=prompt,
                response=answer(prompt, Manner.HELPFUL, random),
                route=route,
            )
        )
    return made


def run(*arguments: str) -> int:
    """Run the command line in this process."""
    return run_app(build_app(), ["calibrate", *arguments])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give nine days of history in a file."""
    path = tmp_path_factory.mktemp("history") / "history.jsonl"
    write_exchanges(path, history(450, 1728.0))
    return str(path)


def test_a_file_gives_rates_thresholds_and_yaml(file, capsys: pytest.CaptureFixture[str]):
    """For people, with a section to paste that is a configuration."""
    assert run(file, "--resamples", "2", "--budget", "2") == 0
    shown = capsys.readouterr().out
    assert "budget a month" in shown
    assert "Seen within a day" in shown
    pasted = yaml.safe_load(shown[shown.index("detection:") :])
    detection = msgspec.convert(pasted["detection"], Detection)
    assert detection.false_alarms_per_month <= 2.0
    assert detection.thresholds.js_minor >= 0.18


def test_json_is_one_document(file, capsys: pytest.CaptureFixture[str]):
    """Everything of the calibration, readable back; a budget that is not in the table is put there."""
    assert run(file, "--resamples", "1", "--budget", "3", "--json") == 0
    found = msgspec.json.decode(capsys.readouterr().out, type=Calibration)
    assert (found.exchanges, found.block, found.resamples, found.wanted) == (450, "days", 1, 3.0)
    assert 3.0 in {rate.budget for rate in found.rates}
    assert all(rate.low <= rate.per_month <= rate.high for rate in found.rates)


def test_what_the_bus_holds_is_a_history(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Without a file, and of the busiest route."""
    config = Config(state_dir=str(tmp_path))
    assert run("--state", str(tmp_path)) == 2
    assert "holds no exchange" in capsys.readouterr().err
    with closing(SqliteBus(config.bus_path)) as bus:
        for start in range(0, 420, 60):
            bus.publish("p", history(420, 2400.0)[start : start + 60], 1_700_000_000.0)
        bus.publish("p", history(30, 60.0, route="other"), 1_700_000_000.0)
    assert run("--state", str(tmp_path), "--resamples", "1", "--json") == 0
    out = capsys.readouterr()
    assert json.loads(out.out)["exchanges"] == 420
    assert "route 'default': 420 of 450" in out.err
    assert run("--state", str(tmp_path), "--route", "other") == 2
    assert "30 exchanges" in capsys.readouterr().err
    assert run("--state", str(tmp_path), "--route", "none") == 2
    assert "no exchange of route 'none'" in capsys.readouterr().err


def test_too_little_is_one_line_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """With what would be enough."""
    path = tmp_path / "short.jsonl"
    write_exchanges(path, history(50, 0.0))
    assert run(str(path)) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert "50 exchanges; expected 400" in said[-1]
    assert run(str(tmp_path / "absent.jsonl")) == 2
    write_exchanges(path, [*history(50, 0.0), *history(450, 60.0)])
    assert run(str(path)) == 2
    assert "50 of 500 exchanges have no time" in capsys.readouterr().err
