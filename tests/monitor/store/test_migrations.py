"""The steps that made the tables."""

from __future__ import annotations

from pathlib import Path

from monitor.store.database import Database
from monitor.store.migrations import MIGRATIONS


def test_every_step_is_recorded(tmp_path: Path):
    """A file knows which steps it has seen, so that a newer version applies only what is missing."""
    database = Database(tmp_path / "m.sqlite")
    rows = database.rows("SELECT name FROM _sqlite_migrations WHERE migration_set = 'driftgate.monitor'")
    assert {name for (name,) in rows} == MIGRATIONS.names()
    database.close()
