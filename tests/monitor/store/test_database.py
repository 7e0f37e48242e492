"""The file of the store: who may open it, and what a transaction keeps."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from monitor.store.database import Database, StoreError


def test_a_new_file_gets_all_tables(tmp_path: Path):
    """Opening creates the folder, the file and every table; opening again changes nothing."""
    path = tmp_path / "new" / "monitor.sqlite"
    for _ in range(2):
        database = Database(path)
        tables = {name for (name,) in database.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
        database.close()
    assert {"buckets", "folded", "arms", "baselines", "lessons", "verdicts", "counters", "turns"} <= tables


def test_many_may_create_it_at_once(tmp_path: Path):
    """Workers that start together on a missing file all get a working store."""

    def create(_: int) -> int:
        database = Database(tmp_path / "monitor.sqlite")
        database.execute("INSERT INTO turns VALUES (hex(randomblob(8)), 1.0)")
        database.close()
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(8))) == 8
    database = Database(tmp_path / "monitor.sqlite")
    assert database.row("SELECT count(*) FROM turns") == (8,)
    database.close()


def test_an_error_rolls_all_back(tmp_path: Path):
    """Whatever is raised inside a transaction, nothing of it stays."""
    database = Database(tmp_path / "m.sqlite")

    def fail() -> None:
        with database.writing():
            database.execute("INSERT INTO turns VALUES ('a', 1.0)")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert database.row("SELECT * FROM turns") is None
    database.close()


def test_what_cannot_be_used_is_one_line(tmp_path: Path):
    """A directory, a text file, another program's database and a newer version's: one clear line each."""
    (tmp_path / "text").write_text("no database at all, just words " * 50)
    (tmp_path / "file").touch()
    Database(tmp_path / "newer").close()
    with sqlite3.connect(tmp_path / "other") as raw, sqlite3.connect(tmp_path / "newer") as newer:
        raw.execute("CREATE TABLE t (a)")
        newer.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('driftgate.monitor', 'x', '')"
        )
    raw.close()
    newer.close()
    for name, said in (
        (".", "is a directory"),
        ("text", "not a database"),
        ("other", "of something else or of a newer"),
        ("newer", "of something else or of a newer"),
        ("file/m.sqlite", "Not a directory"),
    ):
        with pytest.raises(StoreError, match=said) as caught:
            Database(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_lock_of_others_is_an_error_after_the_wait(tmp_path: Path):
    """A writer that never ends does not hang the monitor."""
    database = Database(tmp_path / "m.sqlite", busy_s=0.05)
    other = sqlite3.connect(tmp_path / "m.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"), database.writing():
        pass
    other.close()
    database.close()
