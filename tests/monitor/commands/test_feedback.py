"""`driftgate feedback import`: from a file into the store, and on to the status."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from monitor.cli import build_app
from monitor.contract.command import run_app
from monitor.store import open_store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a directory with a configuration of two routes."""
    (tmp_path / "c.yaml").write_text(
        f"{{state_dir: {tmp_path / 'state'}, routes: [{{name: a, match: a}}, {{name: b}}]}}"
    )
    return tmp_path


def run(folder: Path, text: str, *flags: str) -> int:
    """Import a file."""
    (folder / "f.jsonl").write_text(text)
    arguments = ["feedback", "import", str(folder / "f.jsonl"), *flags, "--config", str(folder / "c.yaml")]
    return run_app(build_app(), arguments)


def test_a_file_is_taken_once(folder: Path, capsys: pytest.CaptureFixture[str]):
    """Counts on stdout, skipped lines on stderr with their numbers; the second time everything is known."""
    text = '{"exchange":"x","label":"good","route":"a"}\nnonsense\n{"exchange":"y","label":"bad"}\n'
    assert run(folder, text) == 0
    told = capsys.readouterr()
    assert told.out == "2 accepted, 0 known already, 2 of exchanges not seen (yet), 1 lines skipped\n"
    assert "line 2: not JSON" in told.err
    assert run(folder, text, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["accepted"], found["repeated"], found["unmatched"]) == (0, 2, 0)
    assert found["skipped"][0]["line"] == 2
    with closing(open_store(folder / "state" / "monitor.sqlite")) as store:
        assert store.feedback.parked() == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "expected JSON Lines"), ('{"exchange":"x","label":"a","route":"no"}', "one of: a, b")],
)
def test_a_file_that_cannot_be_used_is_status_two(folder: Path, capsys, text: str, words: str):
    """One line, and nothing was taken."""
    assert run(folder, text) == 2
    assert words in capsys.readouterr().err
