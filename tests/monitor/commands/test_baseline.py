"""`driftgate baseline`: made from a file or from the bus, listed, shown, chosen."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from monitor.bus.open import open_bus
from monitor.cli import build_app
from monitor.contract import Exchange
from monitor.contract.command import run_app
from monitor.contract.config import load_config
from monitor.demo.customers import TOPICS, question
from monitor.demo.standin_model import Manner, answer
from monitor.offline.exchange_file import write_exchanges


def exchanges(count: int, seed: int, route: str = "default") -> list[Exchange]:
    """Generate exchanges, one a second."""
    random = Random(seed)
    made = []
    for number in range(count):
        prompt = question(TOPICS, random)
        response = answer(prompt, Manner.HELPFUL, random)
        made.append(
            Exchange(
                id=f"{seed}-{number}", time=1000.0 + number, prompt=prompt, response=response, route=route
            )
        )
    return made


class CommandLine:
    """The command line on one state directory."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys
        self._config = folder / "driftgate.yaml"
        self._config.write_text(
            f"{{state_dir: {folder / 'state'}, baseline: {{size: 200}}, routes: [{{name: a, match: a}}, {{name: b}}]}}"
        )

    def __call__(self, *arguments: str, status: int = 0) -> str:
        """Run a command, expect its status and return what it told."""
        assert run_app(build_app(), ["baseline", *arguments, "--config", str(self._config)]) == status
        told = self._capsys.readouterr()
        return told.out if status == 0 else told.err

    def json(self, *arguments: str) -> dict:
        """Run a command with --json."""
        return json.loads(self(*arguments, "--json"))

    def publish(self, made: list[Exchange]) -> None:
        """Put exchanges on the bus in small batches, as the proxy would."""
        with closing(open_bus(load_config(self._config))) as bus:
            for start in range(0, len(made), 10):
                batch = made[start : start + 10]
                bus.publish("test", batch, batch[-1].time)


@pytest.fixture
def baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """Return the command line on a fresh state directory."""
    return CommandLine(tmp_path, capsys)


def test_from_a_file_for_every_route_then_shown_and_chosen(baseline: CommandLine):
    """A file that names no route serves all of them; the newest is in use until another is chosen."""
    assert "no baseline yet" in baseline("list")
    for name, seed in (("old", 1), ("new", 2)):
        write_exchanges(baseline.folder / f"{name}.jsonl", exchanges(150, seed))
    old = baseline.json("create", str(baseline.folder / "old.jsonl"))["baselines"]
    assert [(row["route"], row["size"], row["active"]) for row in old] == [("a", 150, True), ("b", 150, True)]
    assert "● " in baseline("create", str(baseline.folder / "new.jsonl"), "--route", "a")
    listed = baseline.json("list")["baselines"]
    assert [(row["route"], row["active"]) for row in listed if row["route"] == "a"] == [
        ("a", False),
        ("a", True),
    ]
    old_id = old[0]["id"]
    assert f"a is compared with {old_id} now" in baseline("use", old_id, "--route", "a")
    assert [row["active"] for row in baseline.json("list")["baselines"] if row["route"] == "a"] == [
        True,
        False,
    ]
    shown = baseline.json("show", old_id, "--route", "a")["baseline"]
    assert (shown["size"], shown["origin"]) == (150, f"file {baseline.folder / 'old.jsonl'}")
    for clusters in (shown["prompt_clusters"], shown["response_clusters"]):
        shares = [row["share"] for row in clusters]
        assert sum(shares) == pytest.approx(1.0)
        assert shares == sorted(shares, reverse=True)
        assert clusters[0]["terms"]
    assert (shown["seasonality"], shown["time_zone"]) == ("none", "UTC")
    assert "less than a day" in shown["seasonality_why"]
    told = baseline("show", old_id, "--route", "a")
    assert "prompt clusters" in told
    assert "hours are not told apart: it covers" in told


def test_from_a_period_of_what_the_bus_holds(baseline: CommandLine):
    """At most `baseline.size` exchanges, of that route and period."""
    baseline.publish(exchanges(300, 3, "a"))
    baseline.publish(exchanges(50, 4, "b"))
    whole = baseline.json("create", "--route", "a")["baselines"]
    assert [(row["route"], row["size"]) for row in whole] == [("a", 200)]
    part = baseline.json("create", "--route", "a", "--since", "1000", "--until", "1970-01-01T00:18:40+00:00")[
        "baselines"
    ]
    assert part[0]["size"] == 120
    assert part[0]["origin"] == "period 1000 to 1120"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["create"], "--route: expected one of: a, b"),
        (["create", "--route", "c"], "--route: got 'c'; expected one of: a, b"),
        (["create", "--route", "a"], "the bus holds no exchange of route 'a' in that period"),
        (["create", "--since", "noon"], "--since: got 'noon'; expected a time such as 2026-01-31T08:00 or 1769846400"),
        (["create", "/", "--since", "5"], "--since and --until choose from the bus; expected either them or a FILE"),
        (["create", "/"], "/: is a directory, expected a file of exchanges (JSON Lines)"),
        (["create", "/nope"], "/nope: cannot be read (No such file or directory)"),
        (["show", "b0"], "got the id 'b0'; known ids: none"),
        (["use", "b0", "--route", "a"], "got the id 'b0' of route 'a'; known ids: none"),
        (["use"], "Missing argument 'ID' (see driftgate baseline use --help)"),
    ],
)  # fmt: skip
def test_faults_are_one_line(arguments: list[str], message: str, baseline: CommandLine):
    """With status 2."""
    assert baseline(*arguments, status=2) == f"driftgate: {message}\n"


def test_an_id_of_two_routes_needs_the_route(baseline: CommandLine):
    """One file can be the baseline of several routes, under one id."""
    write_exchanges(baseline.folder / "f.jsonl", exchanges(120, 5))
    rows = baseline.json("create", str(baseline.folder / "f.jsonl"))["baselines"]
    assert rows[0]["id"] == rows[1]["id"]
    assert "is a baseline of a, b; expected --route" in baseline("use", rows[0]["id"], status=2)
