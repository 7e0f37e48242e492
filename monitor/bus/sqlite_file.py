"""The file under the SQLite bus: its schema, how it is opened, and what a transaction is.

Law of this file: no exchange and no verdict is known here. WAL with `synchronous=NORMAL`: a commit is in the
operating system's hands before it returns, so killing any process loses nothing committed; a power cut may take
back the last moments (what was committed since the last checkpoint) and never damages the file
(sqlite.org/wal.html, sqlite.org/pragma.html#pragma_synchronous). Writers take the write lock first (BEGIN
IMMEDIATE), so a transaction that has begun cannot fail on another writer. The file must be on a local disk: WAL
shares memory between processes. It holds users' words, so only its owner may read it.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monitor.bus import BusError

FILE_VERSION = 1
# Pages of 8 KiB: a batch of 128 exchanges is about 25 of them, and a change of its row costs one.
_PAGE_BYTES = 8192
_WAL_BYTES_KEPT = 16 * 1024 * 1024

_SCHEMA = """
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


def open_file(path: Path, busy_s: float) -> sqlite3.Connection:
    """Open the file, or create it. Raises BusError with one line on anything that prevents its use."""
    if path.is_dir():
        raise BusError(f"{path}: is a directory, expected a bus file (bus.path)")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise BusError(f"{path}: cannot be opened ({error.strerror})") from error
    with translated(path):
        connection = sqlite3.connect(path, timeout=busy_s, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, path, busy_s)
        except BaseException:
            connection.close()
            raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, busy_s: float) -> None:
    connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")
    _enter_wal(connection, busy_s)
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(f"PRAGMA journal_size_limit={_WAL_BYTES_KEPT}")
    if not _has_schema(connection, path):
        with writing(connection):
            if not _has_schema(connection, path):  # another process may have been faster
                for statement in _SCHEMA.split(";\n"):
                    connection.execute(statement)


def _enter_wal(connection: sqlite3.Connection, busy_s: float) -> None:
    """Switch to WAL; SQLite does not always wait for the lock here, so processes that start together retry."""
    deadline = time.monotonic() + busy_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _has_schema(connection: sqlite3.Connection, path: Path) -> bool:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return False
    if "bus_schema" not in tables:
        raise BusError(f"{path}: is a database of something else, not a bus file (bus.path)")
    (version,) = connection.execute("SELECT version FROM bus_schema").fetchone()
    if version > FILE_VERSION:
        raise BusError(
            f"{path}: was made by a newer driftgate (bus file version {version}, this one reads {FILE_VERSION})"
        )
    return True


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into BusError with the path and SQLite's own words."""
    try:
        yield
    except sqlite3.Error as error:
        raise BusError(f"{path}: {error}") from error


@contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """Hold the write lock; commit at the end, roll back on any error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
