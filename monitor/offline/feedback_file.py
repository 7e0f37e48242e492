"""Files of feedback: JSON Lines or CSV with a header, plain or gzip.

Law of this file: a file that cannot be read is one `FeedbackFileError` of one line; a line that cannot be used is
reported with its number and skipped. Keys are those of `monitor.contract.feedback`.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from monitor.contract import Feedback, read_feedback


class FeedbackFileError(ValueError):
    """The file cannot be used; the message is one line meant for a person."""


class Skipped(NamedTuple):
    """A line that was not used (counted from 1) and why."""

    line: int
    reason: str


def read_feedback_file(path: Path) -> tuple[list[Feedback], list[Skipped]]:
    """Read a whole file. Raises FeedbackFileError, also where no line of it is feedback."""
    found: list[Feedback] = []
    skipped: list[Skipped] = []
    for line, values in _lines(path, _text(path)):
        if isinstance(values, str):
            skipped.append(Skipped(line, values))
            continue
        try:
            found.append(read_feedback(values))
        except ValueError as error:
            skipped.append(Skipped(line, str(error)))
    if not found:
        why = f"line {skipped[0].line}: {skipped[0].reason}" if skipped else "is empty"
        raise FeedbackFileError(f"{path}: no feedback in it; {why}")
    return found, skipped


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
        return data.decode("utf-8-sig")
    except IsADirectoryError:
        raise FeedbackFileError(f"{path}: is a directory, expected JSON Lines or CSV") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FeedbackFileError(f"{path}: is a damaged gzip file ({error})") from None
    except OSError as error:
        raise FeedbackFileError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise FeedbackFileError(f"{path}: is not UTF-8 text (byte {error.start})") from None


def _lines(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield each line's number and its values, or in words why it has none."""
    if not text.lstrip().startswith("{"):
        yield from _csv_rows(path, text)
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values = msgspec.json.decode(line.encode())
        except msgspec.DecodeError as error:
            yield number, f"not JSON: {error}"
            continue
        yield number, values if isinstance(values, dict) else "expected a JSON object"


def _csv_rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    rows = csv.DictReader(io.StringIO(text, newline=""))
    names = {name.strip().lower() for name in rows.fieldnames or ()}
    if not names & {"exchange", "id"} or not names & {"label", "score", "cell"}:
        raise FeedbackFileError(
            f"{path}: expected JSON Lines, or CSV with the columns exchange (or id) and label (or score)"
        )
    try:
        for row in rows:
            if None in row:
                yield rows.line_num, "has more values than the header has columns"
            else:
                yield rows.line_num, {str(name).strip().lower(): value for name, value in row.items()}
    except csv.Error as error:
        yield rows.line_num, f"not CSV: {error}"
