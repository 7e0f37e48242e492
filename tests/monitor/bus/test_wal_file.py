"""Opening a SQLite file that several processes share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from monitor.bus.wal_file import open_wal

_OTHER = """
import sys
from pathlib import Path
from monitor.bus.wal_file import open_wal
connection = open_wal(Path(sys.argv[1]), busy_s=5)
connection.execute("INSERT INTO t VALUES (2)")
connection.close()
"""


def test_file_is_private(tmp_path: Path) -> None:
    """Users' words are readable by the owner alone."""
    open_wal(tmp_path / "x.sqlite", busy_s=1).close()
    assert (tmp_path / "x.sqlite").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["x.sqlite"]


def test_second_connection_keeps_the_locks_of_the_first(tmp_path: Path) -> None:
    """Another process that closes does not delete the log that two connections of this process write to."""
    path = tmp_path / "x.sqlite"
    first = open_wal(path, busy_s=5)
    first.execute("CREATE TABLE t (x)")
    second = open_wal(path, busy_s=5)
    before = (tmp_path / "x.sqlite-wal").stat().st_ino
    subprocess.run([sys.executable, "-c", _OTHER, str(path)], check=True)
    first.execute("INSERT INTO t VALUES (1)")
    assert (tmp_path / "x.sqlite-wal").stat().st_ino == before
    assert second.execute("SELECT count(*) FROM t").fetchone() == (2,)
    first.close()
    second.close()


def test_log_is_copied_into_the_file_before_it_is_long(tmp_path: Path) -> None:
    """Twenty megabytes in small transactions leave a log of little more than two, with pages of any size."""
    for page_bytes in (4096, 8192):
        path = tmp_path / f"{page_bytes}.sqlite"
        connection = open_wal(path, busy_s=5, page_bytes=page_bytes)
        connection.execute("CREATE TABLE t (x)")
        for _ in range(80):
            connection.execute("INSERT INTO t VALUES (zeroblob(250000))")
        assert path.with_name(path.name + "-wal").stat().st_size < 2.5e6
        connection.close()
