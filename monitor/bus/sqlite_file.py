"""The file under the SQLite bus: its tables, its version, and SQLite's errors in the bus's words.

Law of this file: no exchange and no verdict is known here. Two processes may create the file at the same moment;
one of an older driftgate is brought up to date, step by step (a step that was released is never changed); a file
that is something else, or was made by a newer driftgate, is refused untouched.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monitor.bus import BusError
from monitor.bus.wal_file import open_wal, writing

# Pages of 8 KiB: a batch of 128 exchanges is about 25 of them, and a change of its row costs one.
_PAGE_BYTES = 8192

_FIRST = """
CREATE TABLE bus_schema (version INTEGER NOT NULL, identity TEXT NOT NULL);
INSERT INTO bus_schema VALUES (1, lower(hex(randomblob(8))));
CREATE TABLE batches (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    state INTEGER NOT NULL DEFAULT 0,       -- 0 waiting, 1 acknowledged, 2 damaged
    producer TEXT NOT NULL,
    n INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    created REAL NOT NULL,
    encoding INTEGER NOT NULL,              -- the contract's schema version
    reader TEXT NOT NULL DEFAULT '',
    lease_until REAL NOT NULL DEFAULT 0
);
-- and by id: every index ends in the row id
CREATE INDEX batches_by_state ON batches (state);
CREATE INDEX batches_by_age ON batches (state, created);
CREATE TABLE payloads (batch INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE producers (producer TEXT PRIMARY KEY, published INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE counters (
    published INTEGER NOT NULL DEFAULT 0,
    acknowledged INTEGER NOT NULL DEFAULT 0,
    expired INTEGER NOT NULL DEFAULT 0,
    damaged INTEGER NOT NULL DEFAULT 0,
    waiting INTEGER NOT NULL DEFAULT 0,
    waiting_bytes INTEGER NOT NULL DEFAULT 0,
    kept_bytes INTEGER NOT NULL DEFAULT 0
);
INSERT INTO counters DEFAULT VALUES;
CREATE TABLE verdicts (version INTEGER NOT NULL, payload BLOB NOT NULL);
-- no verdicts yet: an empty msgpack list
INSERT INTO verdicts VALUES (0, x'90');
"""

_LOSSES = """
CREATE TABLE minutes (minute INTEGER PRIMARY KEY, offered INTEGER NOT NULL, lost INTEGER NOT NULL);
INSERT INTO minutes SELECT CAST(created / 60 AS INTEGER) AS minute, sum(n), 0 FROM batches GROUP BY minute;
-- the total that a producer has reported last
CREATE TABLE reports (producer TEXT PRIMARY KEY, dropped INTEGER NOT NULL) WITHOUT ROWID;
ALTER TABLE counters ADD COLUMN dropped INTEGER NOT NULL DEFAULT 0;
UPDATE bus_schema SET version = 2;
"""

_STEPS = (_FIRST, _LOSSES)
FILE_VERSION = len(_STEPS)


class BusDamaged(BusError):
    """SQLite says that the file is to blame."""


def open_file(path: Path, busy_s: float) -> sqlite3.Connection:
    """Open the file, or create it. Raises BusError with one line on anything that prevents its use."""
    if path.is_dir():
        raise BusError(f"{path}: is a directory, expected a bus file (bus.path)")
    with translated(path):
        connection = open_wal(path, busy_s=busy_s, page_bytes=_PAGE_BYTES)
        try:
            _create_tables(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def _create_tables(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection, path) == FILE_VERSION:
        return
    with writing(connection):
        # Asked again: another process may have been faster.
        for step in _STEPS[_version(connection, path) :]:
            for statement in step.split(";\n"):
                connection.execute(statement)


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """Return how many steps this file has taken. Raises BusError for a file that is not ours to change."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return 0
    if "bus_schema" not in tables:
        raise BusError(f"{path}: is a database of something else, not a bus file (bus.path)")
    version = int(connection.execute("SELECT version FROM bus_schema").fetchone()[0])
    if version > FILE_VERSION:
        raise BusError(
            f"{path}: was made by a newer driftgate (bus file version {version}, this one reads {FILE_VERSION})"
        )
    return version


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's and the system's errors into BusError with the path and their own words."""
    try:
        yield
    except OSError as error:
        raise BusError(f"{path}: cannot be opened ({error.strerror})") from error
    except sqlite3.Error as error:
        kind = BusDamaged if _is_damage(error) else BusError
        raise kind(f"{path}: {error}") from error


def _is_damage(error: sqlite3.Error) -> bool:
    """Tell whether the file is to blame; a bus file without its tables has been emptied."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB} or "no such table" in str(error)
