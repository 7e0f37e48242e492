"""A SQLite file that several processes of one machine share: how it is opened, and what a transaction is.

Law of this file: it knows no table. WAL with `synchronous=NORMAL`: a commit is in the operating system's hands
before it returns, so killing any process loses nothing committed; a power cut may take back the last moments (what
was committed since the last checkpoint) and never damages the file (sqlite.org/wal.html,
sqlite.org/pragma.html#pragma_synchronous). Writers take the write lock first (BEGIN IMMEDIATE), so a transaction
that has begun cannot fail on another writer. The file must be on a local disk: WAL shares memory between processes.
It may hold users' words, so only its owner may read it.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# A log that has grown in a burst is cut back to this.
_LOG_BYTES_KEPT = 16 * 1024 * 1024


def open_wal(path: Path, *, busy_s: float, page_bytes: int = 4096) -> sqlite3.Connection:
    """Open or create the file; others' locks are waited for at most `busy_s` seconds.

    The connection may be used by one thread at a time. Raises OSError and sqlite3.Error.
    """
    _make_folder(path.parent)
    _create(path)
    connection = sqlite3.connect(path, timeout=busy_s, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA page_size={page_bytes}")
        _enter_wal(connection, busy_s)
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA journal_size_limit={_LOG_BYTES_KEPT}")
    except BaseException:
        connection.close()
        raise
    return connection


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        # "File exists" would send a person the wrong way.
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None


def _create(path: Path) -> None:
    """Make the file, empty and private, where it is missing; never open one that may be in use.

    Closing any descriptor of a file drops all POSIX locks that this process holds on it, SQLite's included; another
    process may then take itself for the last one and delete the log under us (sqlite.org/howtocorrupt.html, 2.2).
    """
    if path.exists():
        return
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        os.link(fresh, path)
    except FileExistsError:
        return  # another process was faster
    finally:
        fresh.unlink()


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
