"""Which worker a process is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from monitor.service.slot import take_slot

HOLD = """
import sys
from pathlib import Path
from monitor.service.slot import take_slot
slot = take_slot(Path(sys.argv[1]))
print(slot.name, flush=True)
sys.stdin.read()
"""


def test_workers_take_the_first_free_slot(tmp_path: Path):
    """Each living worker has its own; one that is given back is the next to be taken."""
    first, second = take_slot(tmp_path / "new"), take_slot(tmp_path / "new")
    assert (first.name, second.name) == ("monitor-0", "monitor-1")
    first.close()
    third = take_slot(tmp_path / "new")
    assert third.name == "monitor-0"
    third.close()
    second.close()


def test_the_slot_of_a_killed_worker_is_free(tmp_path: Path):
    """The kernel gives the lock back, whatever happened."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "monitor-0\n"
        other = take_slot(tmp_path)
        assert other.name == "monitor-1"
        process.kill()
        process.wait()
    heir = take_slot(tmp_path)
    assert heir.name == "monitor-0"
    heir.close()
    other.close()
