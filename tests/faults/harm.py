"""What can be done to a bus file while it is in use, each by a process of its own.

Law: the test's own process never opens the file, because closing it again would drop the locks that SQLite holds for
the connections of this very process.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_GARBAGE = """
import os, sys
path, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
size = os.path.getsize(path)
with open(path, "r+b") as file:
    file.seek(first)
    file.write(os.urandom(min(size, last) - first))
"""


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
    run(_GARBAGE, path, 0, 1 << 40)


def overwrite_pages(path: Path) -> None:
    """Leave the first page, which says what tables there are, and write random bytes over the others."""
    run(_GARBAGE, path, 8192, 1 << 40)


def empty(path: Path) -> None:
    """Cut the file to nothing: `> bus.sqlite`."""
    run("import os, sys; os.truncate(sys.argv[1], 0)", path)


HARMS = (delete, delete_all, overwrite, overwrite_pages, empty)
