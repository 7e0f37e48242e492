"""Files of exchanges: JSON Lines, one exchange a line, plain or gzip.

Law of this file: a file that cannot be read at all is one `ExchangeFileError` of one line; a line that cannot be
used is reported with its number and skipped; an optional value that makes no sense is dropped and its line kept.
What a line means is decided by pure functions of that line and its number, so reading a file twice gives equal
exchanges. Keys are those of `Exchange`; `messages` may stand for `prompt`, with the answer as its last turn.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec
from msgspec.structs import asdict

from monitor.contract import Exchange
from monitor.contract.feedback import label_text
from monitor.contract.messages import content_text, read_conversation, short_hash

_GZIP_MAGIC = b"\x1f\x8b"
# Sums of squares are kept in 64 bits (see `layout`): a million exchanges of this reward fit.
_LARGEST_REWARD = 10_000.0
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_BOM = b"\xef\xbb\xbf"
# Epoch seconds beyond this lie after the year 5000: such a number counts milliseconds.
_MILLISECONDS_FROM = 1e11
# The year 5000 in milliseconds: a larger number is no time at all.
_TIME_LIMIT = 1e14
_HASHED = re.compile(r"[0-9a-f]{12}")


class ExchangeFileError(ValueError):
    """The file cannot be read or written; the message is one line meant for a person."""


class Skipped(NamedTuple):
    """A line that was not used (counted from 1) and why."""

    line: int
    reason: str


class Report(NamedTuple):
    """What a file held: lines that are not blank, exchanges read from them, those that carried a time."""

    lines: int
    exchanges: int
    timed: int
    skipped: int
    first_skipped: Skipped | None

    @property
    def in_words(self) -> str:
        """How many lines were skipped, and why the first of them."""
        if self.first_skipped is None:
            return "no line skipped"
        first = self.first_skipped
        return f"{self.skipped} of {self.lines} lines skipped; line {first.line}: {first.reason}"


class ExchangeFile:
    """Iterate over the exchanges of a file; afterwards `report` says what was in it.

    `on_skip` is called with each line that is skipped. An exchange without a time has the time 0.0.
    Iterating raises ExchangeFileError, also where nothing in the file is an exchange.
    """

    def __init__(self, path: str | Path, *, on_skip: Callable[[Skipped], None] | None = None) -> None:
        self.path = Path(path)
        self.report = Report(0, 0, 0, 0, None)
        self._on_skip = on_skip
        self._raw: BinaryIO | None = None

    def __iter__(self) -> Iterator[Exchange]:
        self.report = Report(0, 0, 0, 0, None)
        with _reading(self.path) as self._raw:
            for number, line in _numbered_lines(self.path, self._raw):
                exchange = self._read(number, line)
                if exchange is not None:
                    yield exchange
        if not self.report.exchanges:
            raise ExchangeFileError(self._nothing())

    def fraction_read(self) -> float:
        """Return how much of the file has been read, in [0, 1], for progress bars."""
        if self._raw is None or self._raw.closed:
            return 1.0 if self.report.lines else 0.0
        return self._raw.tell() / max(1, os.fstat(self._raw.fileno()).st_size)

    def _read(self, number: int, line: bytes) -> Exchange | None:
        seen = self.report
        try:
            values = _parse(line)
            exchange = _exchange(values, number, line)
        except ValueError as error:
            skipped = Skipped(number, str(error))
            if self._on_skip:
                self._on_skip(skipped)
            first = seen.first_skipped or skipped
            self.report = seen._replace(lines=seen.lines + 1, skipped=seen.skipped + 1, first_skipped=first)
            return None
        timed = seen.timed + (exchange.time != 0.0)
        self.report = seen._replace(lines=seen.lines + 1, exchanges=seen.exchanges + 1, timed=timed)
        return exchange

    def _nothing(self) -> str:
        first = self.report.first_skipped
        if first is None:
            return f"{self.path}: is empty; expected one exchange a line (JSON with `prompt` and `response`)"
        return f"{self.path}: no exchange in {self.report.lines} lines; line {first.line}: {first.reason}"


def read_exchanges(
    path: str | Path, *, on_skip: Callable[[Skipped], None] | None = None
) -> tuple[list[Exchange], Report]:
    """Read a whole file. Raises ExchangeFileError."""
    file = ExchangeFile(path, on_skip=on_skip)
    return list(file), file.report


def write_exchanges(path: str | Path, exchanges: Iterable[Exchange]) -> int:
    """Write a file of exchanges, gzip if its name ends in `.gz`; return how many.

    The file appears whole or not at all. Raises ExchangeFileError.
    """
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    encoder, written = msgspec.json.Encoder(), 0
    try:
        with gzip.open(partial, "wb") if target.suffix == ".gz" else partial.open("wb") as out:
            for exchange in exchanges:
                out.write(encoder.encode(exchange) + b"\n")
                written += 1
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ExchangeFileError(f"{target}: cannot be written ({error.strerror})") from error
    return written


def _reading(path: Path) -> BinaryIO:
    if path.is_dir():
        raise ExchangeFileError(f"{path}: is a directory, expected a file of exchanges (JSON Lines)")
    try:
        return path.open("rb")
    except OSError as error:
        raise ExchangeFileError(f"{path}: cannot be read ({error.strerror})") from error


def _numbered_lines(path: Path, raw: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank, unpacked, with their numbers from 1."""
    start = raw.read(2)
    raw.seek(0)
    if start in _UTF16_MARKS:
        raise ExchangeFileError(f"{path}: is not UTF-8 text (it looks like UTF-16)")
    lines: Iterable[bytes] = gzip.GzipFile(fileobj=raw) if start == _GZIP_MAGIC else raw
    number = 0
    try:
        for number, line in enumerate(lines, start=1):
            text = line.removeprefix(_BOM) if number == 1 else line
            if text.strip():
                yield number, text
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ExchangeFileError(f"{path}: is a damaged gzip file after line {number} ({error})") from error
    except OSError as error:
        raise ExchangeFileError(f"{path}: cannot be read ({error.strerror})") from error


def _parse(line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text (byte {error.start + 1})") from error
    except RecursionError as error:
        raise ValueError("not usable JSON: nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"expected a JSON object, got {_kind(values)}")  # noqa: TRY004 - one kind of bad line
    return values


def _exchange(values: dict[str, Any], number: int, line: bytes) -> Exchange:
    """Make the exchange of one line. Raises ValueError when it has neither prompt nor messages."""
    if "label" not in values and "annotator" in values and "score" in values:
        values = {**values, "label": values["score"]}  # a score that somebody gave is a label
    facts = {
        name: value
        for name, read in _OPTIONAL.items()
        if name in values and (value := read(values[name])) is not None
    }
    response = _text(values.get("response"))
    prompt, messages = values.get("prompt"), values.get("messages")
    if isinstance(prompt, str):
        return Exchange(**_base(values, number, line), **facts, prompt=_clean(prompt), response=response)
    turns: Sequence[Any] | None = (
        messages if isinstance(messages, list) else prompt if isinstance(prompt, list) else None
    )
    if turns is None:
        given = values.get("prompt", messages)
        raise ValueError(f"needs `prompt` (text) or `messages` (a list), got {_kind(given)}")
    if response is None:
        turns, response = _split_answer(turns)
    conversation = read_conversation(turns)
    if not conversation.prompt:
        raise ValueError("`messages` holds no text from the user")
    facts = {**asdict(conversation), **facts, "prompt": _clean(conversation.prompt)}
    return Exchange(**_base(values, number, line), **facts, response=response)


def _base(values: dict[str, Any], number: int, line: bytes) -> dict[str, Any]:
    name = values.get("id")
    if isinstance(name, bool) or not isinstance(name, str | int) or name == "":
        name = hashlib.blake2b(b"%d:%b" % (number, line.strip()), digest_size=8).hexdigest()
    return {"id": _clean(str(name)), "time": _seconds(values.get("time"))}


def _split_answer(messages: Sequence[Any]) -> tuple[Sequence[Any], str | None]:
    """Part the model's answer from the conversation where it is the last turn."""
    last = messages[-1] if messages else None
    if not isinstance(last, dict) or last.get("role") != "assistant":
        return messages, None
    text = content_text(last.get("content"))
    return messages[:-1], _clean(text) if text else None


def _seconds(value: Any) -> float:
    """Read epoch seconds (or milliseconds) or ISO 8601, UTC where no zone is given; 0.0 where it is neither."""
    number = _number(value)
    if number is not None and not (isinstance(value, str) and len(value) == 4):  # "2023" is a year
        if not 0.0 <= number < _TIME_LIMIT:
            return 0.0
        return number / 1000.0 if number >= _MILLISECONDS_FROM else number
    if not isinstance(value, str):
        return 0.0
    missing = {4: "-01-01", 7: "-01"}.get(len(value.strip()), "")
    try:
        moment = datetime.fromisoformat(value.strip() + missing)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def _clean(text: str) -> str:
    """Replace what UTF-8 cannot carry (lone surrogates, which JSON can spell)."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _text(value: Any) -> str | None:
    return _clean(value) if isinstance(value, str) else None


def _name(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return _clean(str(value)) or None


def _label(value: Any) -> str | None:
    try:
        return label_text(value)
    except ValueError:
        return None


def _user(value: Any) -> str | None:
    """Reduce a user to the hash that exchanges carry; one that is such a hash already stays."""
    name = _name(value)
    return name if name is None or _HASHED.fullmatch(name) else short_hash(name)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _reward(value: Any) -> float | None:
    number = _number(value)
    if number is not None and abs(number) > _LARGEST_REWARD:
        raise ValueError(
            f"reward {number:g} is beyond ±{_LARGEST_REWARD:,.0f}; divide all rewards by the same number"
        )
    return number


def _amount(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and number >= 0 else None


def _whole(value: Any) -> int | None:
    number = _amount(value)
    return int(number) if number is not None and number < 2**53 else None


def _flag(value: Any) -> bool | None:
    return bool(value) if isinstance(value, bool) or value in (0, 1) else None


def _names(value: Any) -> tuple[str, ...] | None:
    return tuple(_clean(name) for name in value if isinstance(name, str)) if isinstance(value, list) else None


def _kind(value: Any) -> str:
    return {dict: "an object", list: "a list", str: "text", type(None): "nothing", bool: "true or false"}.get(
        type(value), "a number"
    )


_OPTIONAL: dict[str, Callable[[Any], Any]] = {
    "route": _name,
    "arm": _name,
    "variant": _name,
    "model": _name,
    "endpoint": _name,
    "status": _whole,
    "complete": _flag,
    "finish_reason": _name,
    "refused": _flag,
    "reasoning": _text,
    "tool_calls": _names,
    "turns": _whole,
    "context_chars": _whole,
    "system_id": _name,
    "prompt_tokens": _whole,
    "response_tokens": _whole,
    "latency_s": _amount,
    "ttft_s": _amount,
    "stream": _flag,
    "user": _user,
    "error": _name,
    "reward": _reward,
    "label": _label,
    "annotator": _name,
    "gold": _label,
    "item": _name,
}
