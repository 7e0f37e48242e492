"""What can be done to a bus file while it is in use, each by a process of its own.

Law: the test's own process never opens the file, because closing it again would drop the locks that SQLite holds for
the connections of this very process.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# Everything is in the file when it is spoilt: what is still in the log would be written over the damage.
_CHECKPOINT = """
import os, sqlite3, sys
path = sys.argv[1]
connection = sqlite3.connect(path, timeout=10.0)
connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
connection.close()
"""
_GARBAGE = (
    _CHECKPOINT
    + """
first = int(sys.argv[2])
size = os.path.getsize(path)
with open(path, "r+b") as file:
    file.seek(first)
    file.write(os.urandom(size - first))
"""
)


def run(source: str, *arguments: object) -> None:
    """Run a script to its end."""
    subprocess.run([sys.executable, "-c", source, *map(str, arguments)], check=True)


def delete(path: Path) -> None:
    """Remove the file alone, as one does who does not know about its log."""
    path.unlink()


def delete_all(path: Path) -> None:
    """Remove the file with its log and its index: `rm bus.sqlite*`."""
    for each in path.parent.glob(path.name + "*"):
        each.unlink()


def overwrite(path: Path) -> None:
    """Write random bytes over everything."""
    run(_GARBAGE, path, 0)


def overwrite_pages(path: Path) -> None:
    """Leave the first page, which says what tables there are, and write random bytes over the others."""
    run(_GARBAGE, path, 8192)


def empty(path: Path) -> None:
    """Cut the file to nothing: `> bus.sqlite`."""
    run(_CHECKPOINT + "os.truncate(path, 0)", path)


HARMS = (delete, delete_all, overwrite, overwrite_pages, empty)
