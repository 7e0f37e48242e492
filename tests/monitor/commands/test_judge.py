"""`driftgate compare` and `backtest` on files, scored in this process with the shipped model."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from monitor.cli import build_app
from monitor.commands.render_backtest import strip
from monitor.contract import Cause, Direction, Exchange, Tier
from monitor.contract.command import run_app
from monitor.demo.customers import DELIVERY, PAYMENT, REPAIR, RETURNS, question
from monitor.demo.standin_model import Manner, answer
from monitor.offline.backtest import Alert
from monitor.offline.exchange_file import write_exchanges

_TOPICS = (DELIVERY, RETURNS, PAYMENT, REPAIR)


def exchanges(count: int, manner: Manner, seed: int, start_s: float = 0.0) -> list[Exchange]:
    """Generate exchanges, ten a minute from `start_s` on, without times where that is 0."""
    random = Random(seed)
    made = []
    for number in range(count):
        prompt = question(_TOPICS, random)
        time = start_s + 6.0 * number if start_s else 0.0
        made.append(
            Exchange(id=f"{seed}-{number}", time=time, prompt=prompt, response=answer(prompt, manner, random))
        )
    return made


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files of a good model, the same again, and a bad one."""
    folder = tmp_path_factory.mktemp("files")
    start_s = 1_700_000_000.0
    content = {
        "baseline": exchanges(400, Manner.HELPFUL, 1),
        "same": exchanges(300, Manner.HELPFUL, 2),
        "worse": exchanges(300, Manner.EVASIVE, 3),
        "turning": exchanges(300, Manner.HELPFUL, 4, start_s)
        + exchanges(200, Manner.EVASIVE, 5, start_s + 1800.0),
        "half_timed": [*exchanges(2, Manner.HELPFUL, 6, start_s), *exchanges(2, Manner.HELPFUL, 7)],
    }
    for name, made in content.items():
        write_exchanges(folder / f"{name}.jsonl", made)
    return {name: str(folder / f"{name}.jsonl") for name in content}


def run(*arguments: str) -> int:
    """Run the command line in this process."""
    return run_app(build_app(), arguments)


def test_compare_tells_the_same_model_from_a_worse_one(files, capsys: pytest.CaptureFixture[str]):
    """One document, every key of the surface in it."""
    assert run("compare", files["baseline"], files["same"], "--json") == 0
    same = json.loads(capsys.readouterr().out)
    assert run("compare", files["baseline"], files["worse"], "--json") == 0
    worse = json.loads(capsys.readouterr().out)
    assert (same["tier"], same["drifted"]) == ("ok", False)
    assert (worse["tier"], worse["drifted"], worse["direction"], worse["cause"]) == (
        "critical",
        True,
        "degraded",
        "model",
    )
    for document in (same, worse):
        assert {
            "tier",
            "drifted",
            "direction",
            "cause",
            "n",
            "reasons",
            "signals",
            "attribution",
        } <= document.keys()
        assert document["n"] == {"baseline": 400, "window": 300}
        for signal in document["signals"].values():
            assert {"value", "p_value", "effect", "interval", "tier"} <= signal.keys()
    assert {"baseline_mean", "window_mean"} <= worse["signals"]["reward"].keys()


def test_compare_reads_well(files, capsys: pytest.CaptureFixture[str]):
    """Tier and cause in the first line, then why, then numbers."""
    assert run("compare", files["baseline"], files["worse"]) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert lines[0].startswith("● critical  default/control  degraded, cause: model")
    assert any("refusal" in line for line in lines)
    assert told.err == ""


def test_backtest_finds_the_turn_and_where(files, capsys: pytest.CaptureFixture[str]):
    """Not before the model turned, and soon after."""
    assert run("backtest", files["baseline"], files["turning"], "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["exchanges"] == 500
    assert document["alerts"]
    assert 300 < document["alerts"][0]["exchange"] <= 420
    assert document["alerts"][0].keys() >= {
        "exchange",
        "time",
        "route",
        "arm",
        "tier",
        "drifted",
        "signal",
        "direction",
        "cause",
    }
    assert document["final"]["tier"] == "critical"
    assert document["final"]["cause"] == "model"


def test_backtest_reads_well_and_says_that_it_made_up_times(files, capsys: pytest.CaptureFixture[str]):
    """A stream without times is taken at a stated rate."""
    assert run("backtest", files["baseline"], files["worse"], "--per-minute", "30") == 0
    told = capsys.readouterr()
    assert "carries no times; taken as 30 exchanges a minute (--per-minute)" in told.err
    assert told.out.startswith("300 exchanges in 10 minutes with traffic: ")
    assert "At the end:" in told.out


def test_a_stream_with_some_times_is_refused(files, capsys: pytest.CaptureFixture[str]):
    """Guessing would put exchanges into the wrong minutes."""
    assert run("backtest", files["baseline"], files["half_timed"]) == 2
    assert "2 of 4 exchanges have no time; expected all or none" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["compare", "backtest"])
def test_faults_are_one_line(command: str, files, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A missing file, a directory, an empty file, a baseline that is too thin, a Triton that is not there."""
    empty, thin, config = tmp_path / "empty.jsonl", tmp_path / "thin.jsonl", tmp_path / "bad.yaml"
    empty.write_text("")
    write_exchanges(thin, exchanges(3, Manner.HELPFUL, 8))
    config.write_text("scoring: {model_repository: /nowhere, kind: local}")
    faults = {
        (str(tmp_path / "no.jsonl"), files["same"]): "cannot be read (No such file or directory)",
        (files["same"], str(tmp_path)): "is a directory",
        (str(empty), files["same"]): "is empty",
        (str(thin), files["same"]): "3",
        (files["same"], files["same"], "--triton", "127.0.0.1:1"): "Triton at 127.0.0.1:1",
        (
            files["same"],
            files["same"],
            "--triton",
            "nonsense",
        ): "--triton: got 'nonsense'; expected HOST:PORT",
        (files["same"], files["same"], "--config", str(config)): "/nowhere",
    }
    for arguments, message in faults.items():
        assert run(command, *arguments) == 2
        told = capsys.readouterr()
        assert told.out == ""
        last = told.err.splitlines()[-1]
        assert last.startswith("driftgate: ")
        assert message in last


def test_bad_lines_are_told_and_skipped(files, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """With the number of the first and the reason."""
    spoilt = tmp_path / "spoilt.jsonl"
    spoilt.write_text("{broken\n" + Path(files["same"]).read_text())
    assert run("compare", files["baseline"], str(spoilt), "--json") == 0
    told = capsys.readouterr()
    assert "1 of 301 lines skipped; line 1: not JSON" in told.err
    assert json.loads(told.out)["n"]["window"] == 300


def alert(exchange: int, tier: Tier) -> Alert:
    """Make an alert."""
    return Alert(
        exchange=exchange, time=0.0, route="r", arm="control", tier=tier, drifted=True,
        signal=None, direction=Direction.NEUTRAL, cause=Cause.NONE, headline="",
    )  # fmt: skip


def test_the_strip_shows_when():
    """Each cell the worst within it, from the alert on."""
    assert strip([], 100, 10).plain == "··········"
    assert strip([alert(50, Tier.MINOR), alert(80, Tier.CRITICAL)], 100, 10).plain == "·····mmmCC"
    assert strip([alert(50, Tier.CRITICAL), alert(52, Tier.OK)], 100, 10).plain == "·····C····"
    assert strip([alert(100, Tier.MINOR)], 100, 10).plain == "·········m"
