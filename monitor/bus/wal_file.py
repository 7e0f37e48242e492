"""A SQLite file that several processes of one machine share: how it is opened, and what a transaction is.

Law of this file: it knows no table. WAL with `synchronous=NORMAL`: a commit is in the operating system's hands
before it returns, so killing any process loses nothing committed; a power cut may take back the last moments (what
was committed since the last checkpoint) and never damages the file (sqlite.org/wal.html,
sqlite.org/pragma.html#pragma_synchronous). Writers take the write lock first (BEGIN IMMEDIATE), so a transaction
that has begun cannot fail on another writer. The file must be on a local disk: WAL shares memory between processes.
It may hold users' words, so only its owner may read it.

A file is taken away (by a person, or by `set_aside`) while processes have it open: they go on with one that nobody
else sees, until they look whether the path still leads to it (`file_id`). SQLite leaves log and index of a moved file
alone when it is closed (`databaseIsUnmoved` in pager.c), and whoever uses the next file removes what the one before
left beside it first, because a log beside the wrong file damages it (sqlite.org/howtocorrupt.html, 1.4). Making and setting aside
take turns by a lock on the folder, since opening the file itself only to lock it would cost SQLite its own locks.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# A log that has grown in a burst is cut back to this.
_LOG_BYTES_KEPT = 16 * 1024 * 1024
# A log of this size is copied into the file. Whoever commits then does so, waits for the disk twice and keeps others of
# its core waiting: four times for 4 ms costs no more processor time than once for 16, SQLite's 1,000 pages of 8 KiB.
_LOG_BYTES_COPIED = 2 * 1024 * 1024
# What SQLite keeps beside a file: its log, and the index of it that processes share.
_BESIDE = ("-wal", "-shm")


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
        connection.execute(f"PRAGMA wal_autocheckpoint={_LOG_BYTES_COPIED // page_bytes}")
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


def file_id(path: Path) -> tuple[int, int] | None:
    """Return what tells this file from another one at the same path; None where there is none."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def set_aside(path: Path, seen: tuple[int, int]) -> Path:
    """Move a damaged file and its log to where `.recover` finds them; only the latest such file is kept.

    Does nothing where another process was faster, so that `path` is not that file any more. Raises OSError.
    """
    aside = path.with_name(path.name + ".damaged")
    with _folder_held(path.parent):
        if file_id(path) == seen:
            for beside in _BESIDE:
                aside.with_name(aside.name + beside).unlink(missing_ok=True)
            path.replace(aside)
            log = path.with_name(path.name + "-wal")
            if log.exists():
                log.replace(aside.with_name(aside.name + "-wal"))
    return aside


def log_id(path: Path) -> tuple[int, int] | None:
    """Return `file_id` of the log; it stays the same while anybody has the file open."""
    return file_id(path.with_name(path.name + "-wal"))


def part_from_log(path: Path, log: tuple[int, int] | None) -> None:
    """Remove the log of a file that is gone, and its index, where they still lie beside another file. Raises OSError."""
    with _folder_held(path.parent):
        if log is not None and log_id(path) == log:
            for beside in _BESIDE:
                path.with_name(path.name + beside).unlink(missing_ok=True)


def _create(path: Path) -> None:
    """Make the file, empty and private, where it is missing; never open one that may be in use.

    Closing any descriptor of a file drops all POSIX locks that this process holds on it, SQLite's included; another
    process may then take itself for the last one and delete the log under us (sqlite.org/howtocorrupt.html, 2.2).
    """
    if path.exists():
        return
    with _folder_held(path.parent):
        if path.exists():
            return  # another process was faster
        for beside in _BESIDE:
            path.with_name(path.name + beside).unlink(missing_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.unlink(missing_ok=True)  # left by a process that was killed here
        os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        # Only now may others find it.
        fresh.rename(path)


@contextmanager
def _folder_held(folder: Path) -> Iterator[None]:
    """Let one process at a time make or move files here."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


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
