"""The monitor's own SQLite file: opening it, migrating it, transactions.

Law of this file: it knows no table by name. Every error of SQLite becomes a `StoreError` of one line. Several
monitor workers and the command line may have the file open at once; whoever writes holds the write lock from the
first statement on, so what a transaction has read is still true when it writes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlite_utils

from monitor.bus.wal_file import open_wal, writing
from monitor.store.migrations import MIGRATIONS


class StoreError(RuntimeError):
    """The store cannot be used now; the message is one line and says why."""


class Outdated(Exception):
    """What was worked out does not fit the store any more, and nothing was written; work it out again."""


class Database:
    """An open file; one object is used by one thread at a time."""

    def __init__(self, path: Path, *, busy_s: float = 10.0) -> None:
        self.path = path
        if path.is_dir():
            raise StoreError(f"{path}: is a directory, expected the monitor's database")
        with self._translated():
            self._connection = open_wal(path, busy_s=busy_s)
            try:
                self._migrate()
            except BaseException:
                self._connection.close()
                raise

    def _migrate(self) -> None:
        sql = sqlite_utils.Database(self._connection)
        if not MIGRATIONS.pending(sql) and self._is_known(sql):
            return
        with writing(self._connection):
            if sql.table_names() and not self._is_known(sql):
                raise StoreError(f"{self.path}: is a database of something else or of a newer driftgate")
            MIGRATIONS.apply(sql)

    def _is_known(self, sql: sqlite_utils.Database) -> bool:
        """Tell whether this is our file and no newer version has changed it."""
        applied = {migration.name for migration in MIGRATIONS.applied(sql)}
        known = applied | {migration.name for migration in MIGRATIONS.pending(sql)}
        return bool(applied) and known == MIGRATIONS.names()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the write lock; commit at the end, roll back on any error. Raises StoreError."""
        with self._translated(), writing(self._connection):
            yield

    def execute(self, statement: str, values: Sequence[Any] = ()) -> int:
        """Run one statement; return the rows it changed."""
        with self._translated():
            return self._connection.execute(statement, values).rowcount

    def execute_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> int:
        """Run one statement for each row of values; return the rows that all of them changed."""
        with self._translated():
            return self._connection.executemany(statement, rows).rowcount if rows else 0

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        with self._translated():
            return self._connection.execute(query, values).fetchall()

    def row(self, query: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """Return the first row of a query."""
        with self._translated():
            found: tuple[Any, ...] | None = self._connection.execute(query, values).fetchone()
        return found

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}") from error
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be opened ({error.strerror})") from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
