"""Files of feedback: JSON Lines and CSV."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from monitor.offline.feedback_file import FeedbackFileError, read_feedback_file


@pytest.fixture
def file(tmp_path: Path):
    """Write a file and return its path."""

    def write(data: bytes | str, name: str = "f.jsonl") -> Path:
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return write


def test_lines_of_json(file):
    """One object a line; blank lines count as lines, bad ones are skipped with their number."""
    found, skipped = read_feedback_file(
        file('{"exchange":"x","label":"a"}\n\n{"exchange":"y"}\nno\n[1]\n{"id":"z","score":3}\n')
    )
    assert [(f.exchange, f.label) for f in found] == [("x", "a"), ("z", "3")]
    assert [row.line for row in skipped] == [3, 4, 5]
    assert "needs `label`" in skipped[0].reason


def test_rows_of_csv(file):
    """Column names are keys, in any case; an empty cell is no value; gzip and a byte-order mark are read."""
    text = "\ufeffExchange,Annotator,Label,Gold,Time\nx,anna,good,,2026-01-02\ny,,,a,\nz,ben,4.0,5,17,more\n"
    found, skipped = read_feedback_file(file(gzip.compress(text.encode()), "f.csv.gz"))
    assert [(f.exchange, f.annotator, f.label, f.gold) for f in found] == [("x", "anna", "good", None)]
    assert found[0].time == 1767312000.0
    assert [row.line for row in skipped] == [3, 4]
    assert "more values" in skipped[1].reason


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("", "columns"),
        ("who,what\na,b\n", "expected JSON Lines, or CSV with the columns"),
        ("{}\n", "line 1: needs `exchange`"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"\x1f\x8bnonsense", "damaged gzip"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(file, data, words):
    """In one line with its name."""
    path = file(data)
    with pytest.raises(FeedbackFileError, match=words) as fault:
        read_feedback_file(path)
    assert str(path) in str(fault.value)


def test_what_is_no_file_says_so(tmp_path: Path):
    """A directory, or nothing at all."""
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(FeedbackFileError, match=r"directory|cannot be read"):
            read_feedback_file(path)
