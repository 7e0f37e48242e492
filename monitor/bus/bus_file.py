"""The bus file in use: transactions on it, and what becomes of them when it is removed, replaced or damaged.

Law of this file: no exchange and no verdict is known here. Before anything is done the path is asked whether it still
leads to the file that is open. A file that is lost is left behind as it is (a damaged one is moved aside, never
deleted), the one that is at the path then, or a fresh one, is told how many exchanges waited on the old one, as its
losses, and the caller hears of it by BusReplaced: ids of the old file mean nothing any more. At an opening only what
SQLite knows for its own is moved aside; a file that is no database may be somebody's, and stays.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import structlog

from monitor.bus import BusError
from monitor.bus.sqlite_file import BusDamaged, open_file, translated
from monitor.bus.sqlite_minutes import report
from monitor.bus.wal_file import file_id, log_id, part_from_log, set_aside, writing

_log = structlog.get_logger(__name__)

# Another process may put a file there while this one opens it, but hardly time after time.
_TRIES = 10


class BusReplaced(BusError):
    """The file that was in use is gone; nothing of the call was done, and another file is in use from now on."""


class _Moved(Exception):
    """The path leads to another file, or to none."""


class _Ghost(NamedTuple):
    """A file that is lost: whose it was, the exchanges that waited on it (None: cannot be read), and why."""

    identity: str
    waiting: int | None
    why: str
    damaged: bool


class BusFile:
    """An open bus file: queries and transactions, with errors in the bus's words.

    A file that is removed or replaced while it is in use, or that SQLite finds damaged, is left behind: the one that
    is at the path then (made where there is none) is told how many exchanges waited on the old one, as its losses.
    """

    def __init__(self, path: Path, busy_s: float, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._busy_s = busy_s
        self._clock = clock
        self._connection: sqlite3.Connection | None = None
        # The file that is open, and its log.
        self._seen: tuple[int, int] | None = None
        self._log: tuple[int, int] | None = None
        # What the next file is still to be told of the one before it.
        self._owed: _Ghost | None = None
        self.identity = ""
        self._reached()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Hold the write lock; commit at the end, roll back on any error. Raises BusReplaced."""
        connection = self._reached()
        with self._left_when_lost(), writing(connection):
            # Asked under the lock: whoever leaves the file later still finds what is committed here.
            self._check_place()
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for single queries. Raises BusReplaced."""
        connection = self._reached()
        with self._left_when_lost():
            self._check_place()
            yield connection

    def row(self, query: str, values: tuple[object, ...] = ()) -> tuple[Any, ...] | None:
        """Return the first row, or None."""
        with self.reading() as connection:
            found: tuple[Any, ...] | None = connection.execute(query, values).fetchone()
        return found

    def one(self, query: str) -> tuple[Any, ...]:
        """Return the row that every bus file has."""
        found = self.row(query)
        if found is None:
            raise BusError(f"{self._path}: a row that every bus file has is missing")
        return found

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _check_place(self) -> None:
        if file_id(self._path) != self._seen:
            raise _Moved

    @contextmanager
    def _left_when_lost(self) -> Iterator[None]:
        try:
            with translated(self._path):
                yield
        except _Moved:
            self._leave("was removed or replaced while in use")
        except BusDamaged as error:
            self._leave(str(error.__cause__), damaged=True)

    def _leave(self, why: str, *, damaged: bool = False) -> NoReturn:
        """Let go of a file that is lost and go on with the one that is at its path. Raises BusReplaced and BusError."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._owed = _Ghost(self.identity, _waiting(connection), why, damaged)
            try:
                # Before it is closed: what has been moved SQLite leaves as it is.
                with translated(self._path), suppress(FileNotFoundError, NotADirectoryError):
                    if damaged and self._seen is not None:
                        set_aside(self._path, self._seen)
                    part_from_log(self._path, self._log)
            finally:
                with suppress(sqlite3.Error):
                    connection.close()
        self._reached()
        raise BusReplaced(f"{self._path}: {why}; another file is in use from now on")

    def _reached(self) -> sqlite3.Connection:
        """Return the connection; open it where there is none."""
        if self._connection is None:
            connection, seen = _open_in_place(self._path, self._busy_s)
            try:
                with translated(self._path):
                    self.identity = str(connection.execute("SELECT identity FROM bus_schema").fetchone()[0])
                    self._tell_losses(connection)
            except BusDamaged:
                with translated(self._path):
                    set_aside(self._path, seen)
                connection.close()
                raise
            except BaseException:
                connection.close()
                raise
            self._connection, self._seen, self._log = connection, seen, log_id(self._path)
        return self._connection

    def _tell_losses(self, connection: sqlite3.Connection) -> None:
        """Count as lost what waited on the file before; the first process to say so logs it."""
        ghost = self._owed
        if ghost is not None and ghost.identity != self.identity:
            with writing(connection):
                is_first = report(connection, f"bus-{ghost.identity}", ghost.waiting or 0, self._clock())
            if is_first:
                _log.error(
                    "bus file was lost, going on with another one",
                    path=str(self._path),
                    reason=ghost.why,
                    exchanges_lost="unknown" if ghost.waiting is None else ghost.waiting,
                    kept=f"{self._path}.damaged" if ghost.damaged else None,
                )
        self._owed = None


def _waiting(connection: sqlite3.Connection) -> int | None:
    try:
        return int(connection.execute("SELECT waiting FROM counters").fetchone()[0])
    except (sqlite3.Error, TypeError):
        return None


def _open_in_place(path: Path, busy_s: float) -> tuple[sqlite3.Connection, tuple[int, int]]:
    """Open the file, and make sure that it was at its path all the while."""
    for _ in range(_TRIES):
        with translated(path):
            before = file_id(path)
        try:
            connection = open_file(path, busy_s)
        except BusDamaged as error:
            code = getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF
            if before is None or code != sqlite3.SQLITE_CORRUPT:
                raise
            with translated(path):
                kept = set_aside(path, before)
            _log.error("bus file is damaged, going on with a fresh one", reason=str(error), kept=str(kept))
            continue
        with translated(path):
            if before is not None and before == file_id(path):
                return connection, before
        connection.close()
    raise BusError(f"{path}: is another file each time that it is looked at")
