"""Slots: which of several monitor workers on this state directory this process is.

Law of this file: a slot is a locked file, and the lock ends with the process, however it ends. So a worker that comes
after one that was killed takes the same slot, is the same reader on the bus, and can free the leases that the dead
one still holds instead of waiting for them to run out.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import BinaryIO, NamedTuple

_MOST = 256


class Slot(NamedTuple):
    """The name of this worker; the slot is held until `file` is closed."""

    name: str
    file: BinaryIO

    def close(self) -> None:
        """Leave the slot to others."""
        self.file.close()


def take_slot(folder: Path) -> Slot:
    """Take the first free slot of a state directory. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(_MOST):
        file = (folder / f"monitor-{number}.lock").open("wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        except BaseException:
            file.close()
            raise
        return Slot(f"monitor-{number}", file)
    raise OSError(f"{folder}: all {_MOST} slots for monitor workers are taken")
