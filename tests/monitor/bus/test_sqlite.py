"""What only the file can show: killed processes, several readers, damage, locks, bounds on disk."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from monitor.bus import BusError
from monitor.bus.open import open_bus
from monitor.bus.sqlite import SqliteBus
from monitor.contract import Exchange
from monitor.contract.config import Bus, Config

PRODUCER = """
import sys, time
from pathlib import Path
from monitor.bus.sqlite import SqliteBus
from monitor.contract import Exchange
path, name = Path(sys.argv[1]), sys.argv[2]
bus = SqliteBus(path, busy_s=30.0)
for i in range(int(sys.argv[3])):
    exchanges = [Exchange(id=f"{name}-{i}-{j}", time=0.0, prompt="hello " * 20) for j in range(8)]
    bus.publish(name, exchanges, time.time())
    print(i, flush=True)
"""

READER = """
import sys, time
from pathlib import Path
from monitor.bus.sqlite import SqliteBus
bus = SqliteBus(Path(sys.argv[1]), busy_s=30.0)
quiet = 0
while quiet < int(sys.argv[3]):
    batches = bus.fetch(sys.argv[2], 64, time.time(), lease_s=float(sys.argv[4]))
    quiet = 0 if batches else quiet + 1
    for batch in batches:
        bus.ack([batch.id])
        print(batch.id, *[x.id for x in batch.exchanges], flush=True)
    if not batches:
        time.sleep(0.01)
"""


def start(source: str, *arguments: object) -> subprocess.Popen[str]:
    """Run a script in a process of its own."""
    command = [sys.executable, "-c", source, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def lines(process: subprocess.Popen[str]) -> list[str]:
    """Wait for a process and return what it printed."""
    output, _ = process.communicate(timeout=60)
    return output.splitlines()


def some(n: int, text: str = "hello") -> list[Exchange]:
    """Make n exchanges."""
    return [Exchange(id=f"x{i}", time=0.0, prompt=text) for i in range(n)]


def test_a_killed_producer_loses_nothing_it_committed(tmp_path: Path):
    """After kill -9 in the middle of publishing, every batch that was reported committed is there, whole."""
    path = tmp_path / "bus.sqlite"
    process = start(PRODUCER, path, "p", 100_000)
    assert process.stdout is not None
    reported = [int(process.stdout.readline()) for _ in range(60)][-1]
    os.kill(process.pid, signal.SIGKILL)
    reported = max([reported, *map(int, (line for line in process.communicate()[0].split()))])
    bus = SqliteBus(path)
    batches = bus.fetch("r", 10**9, time.time())
    assert len(batches) in {reported + 1, reported + 2}  # the last commit may not have been reported yet
    assert all(len(batch.exchanges) == 8 for batch in batches)
    assert bus.published_by("p") == bus.stats().published == 8 * len(batches)
    bus.close()


def test_producers_and_readers_at_once_meet_each_batch_once(tmp_path: Path):
    """Two producers and three readers at the same time: every exchange is read, none by two readers."""
    path = tmp_path / "bus.sqlite"
    SqliteBus(path).close()
    readers = [start(READER, path, f"r{i}", 60, 60.0) for i in range(3)]
    producers = [start(PRODUCER, path, f"p{i}", 150) for i in range(2)]
    assert [len(lines(process)) for process in producers] == [150, 150]
    seen = [line for process in readers for line in lines(process)]
    assert len(seen) == len({line.split()[0] for line in seen}) == 300
    bus = SqliteBus(path)
    assert bus.stats().acknowledged == 2400
    bus.close()


def test_a_killed_reader_gives_its_batches_back(tmp_path: Path):
    """What a killed reader had not acknowledged comes back after its lease, and nothing is read twice."""
    path = tmp_path / "bus.sqlite"
    bus = SqliteBus(path)
    for _ in range(400):
        bus.publish("p", some(8), time.time())
    victim = start(READER, path, "victim", 10**6, 0.5)
    assert victim.stdout is not None
    first = [victim.stdout.readline() for _ in range(20)]
    os.kill(victim.pid, signal.SIGKILL)
    first += victim.communicate()[0].splitlines()
    rest = lines(start(READER, path, "heir", 100, 60.0))
    ids = [line.split()[0] for line in rest]
    assert not {line.split()[0] for line in first} & set(ids)
    assert len(ids) == len(set(ids))
    assert bus.stats()[:2] == (3200, 3200)
    bus.close()


def test_a_damaged_payload_is_set_aside(tmp_path: Path):
    """A payload that does not decode is counted, never served again, and the rest goes on."""
    path = tmp_path / "bus.sqlite"
    bus = SqliteBus(path)
    ids = [bus.publish("p", some(3), now=0.0) for _ in range(3)]
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE payloads SET body = x'93ff00' WHERE batch = ?", (ids[1],))
        raw.execute("DELETE FROM payloads WHERE batch = ?", (ids[2],))
    raw.close()
    assert [b.id for b in bus.fetch("r", 100, now=1.0)] == [ids[0]]
    assert [b.id for b in bus.fetch("r", 100, now=1e6)] == [ids[0]]
    stats = bus.stats()
    assert (stats.damaged, stats.waiting) == (6, 3)
    assert bus.losses(0.0) == (9, 6)
    assert [len(batch) for batch in bus.kept(0.0, 1.0)] == [3]
    bus.close()


def test_a_batch_of_a_newer_writer_waits(tmp_path: Path):
    """A reader leaves what it does not understand to a newer one: waiting, not damaged."""
    path = tmp_path / "bus.sqlite"
    bus = SqliteBus(path)
    bus.publish("p", some(3), now=0.0)
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE batches SET encoding = 99")
    raw.close()
    assert bus.fetch("r", 100, now=1.0) == []
    assert bus.stats().waiting == 3
    bus.close()


def test_a_locked_file_is_an_error_after_the_wait(tmp_path: Path):
    """Another process that holds the write lock makes publish fail with one line, and nothing is committed."""
    path = tmp_path / "bus.sqlite"
    bus = SqliteBus(path, busy_s=0.1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(BusError, match=r"bus\.sqlite: database is locked"):
        bus.publish("p", some(1), now=0.0)
    other.execute("ROLLBACK")
    other.close()
    assert bus.published_by("p") == 0
    assert bus.publish("p", some(1), now=0.0) == 1
    bus.close()


def test_a_file_of_a_newer_driftgate_is_refused(tmp_path: Path):
    """A bus file with a newer schema is not touched; the message names both versions."""
    path = tmp_path / "bus.sqlite"
    SqliteBus(path).close()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE bus_schema SET version = 7")
    raw.close()
    with pytest.raises(BusError, match=r"newer driftgate \(bus file version 7, this one reads 2\)"):
        SqliteBus(path)


def test_a_file_of_an_older_driftgate_is_brought_up_to_date(tmp_path: Path):
    """What waits in it is served as before and counts as offered; nothing is known to be lost."""
    path = tmp_path / "bus.sqlite"
    bus = SqliteBus(path)
    for now in (30.0, 90.5, 119.0):
        bus.publish("p", some(2), now=now)
    bus.close()
    with sqlite3.connect(path) as raw:
        raw.executescript(
            "DROP TABLE minutes; DROP TABLE reports; ALTER TABLE counters DROP COLUMN dropped;"
            "UPDATE bus_schema SET version = 1;"
        )
    raw.close()
    again = SqliteBus(path)
    assert (again.losses(0.0), again.losses(60.0)) == ((6, 0), (4, 0))
    again.publish("p", some(1), now=119.0)
    again.report_dropped("proxy", 3, now=119.0)
    assert again.losses(60.0) == (8, 3)
    assert len(again.fetch("r", 100, now=200.0)) == 4
    again.close()


def test_minutes_that_no_window_reaches_are_forgotten(tmp_path: Path):
    """The longest window that can be configured is 31 days; older minutes do not stay."""
    bus = SqliteBus(tmp_path / "bus.sqlite")
    day = 86400.0
    for at in (0.0, 10.0 * day):
        bus.report_dropped(f"p{at}", 1, now=at)
    bus.trim(now=40.0 * day)
    assert bus.losses(0.0) == (1, 1)
    assert bus.stats().dropped == 2
    bus.close()


def test_what_is_no_bus_file_is_refused(tmp_path: Path):
    """A directory, a text file and somebody else's database each end in one clear line."""
    (tmp_path / "text").write_text("hello, I am not a database at all" * 100)
    with sqlite3.connect(tmp_path / "other") as raw:
        raw.execute("CREATE TABLE t (a)")
    raw.close()
    (tmp_path / "file").touch()
    for name, said in (
        (".", "is a directory"),
        ("text", "file is not a database"),
        ("other", "a database of something else"),
        ("file/bus.sqlite", "cannot be opened"),
    ):
        with pytest.raises(BusError, match=said) as caught:
            SqliteBus(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_the_file_stays_within_its_bound(tmp_path: Path):
    """With no reader at all, publishing fifty times the bound leaves a file near the bound and counts the loss."""
    path = tmp_path / "bus.sqlite"
    bound = 1_000_000
    bus = SqliteBus(path, retention_bytes=bound)
    for i in range(500):
        bus.publish("p", some(50, text="x" * 2000), now=float(i))
    stats = bus.stats()
    assert stats.published == 25_000 == stats.expired + stats.waiting
    assert stats.waiting_bytes <= bound
    assert path.stat().st_size < 1.5 * bound
    bus.close()


def test_only_the_owner_may_read_the_file(tmp_path: Path):
    """The bus holds users' words: no permission for others, on the file or its log."""
    bus = SqliteBus(tmp_path / "bus.sqlite")
    bus.publish("p", some(1), now=0.0)
    assert {file.stat().st_mode & 0o077 for file in tmp_path.iterdir()} == {0}
    bus.close()


def test_processes_may_create_the_file_together(tmp_path: Path):
    """Several processes that open a missing file at the same moment all get a working bus."""
    path = tmp_path / "new" / "bus.sqlite"
    processes = [start(PRODUCER, path, f"p{i}", 2) for i in range(4)]
    assert [len(lines(process)) for process in processes] == [2] * 4
    bus = SqliteBus(path)
    assert bus.stats().published == 64
    bus.close()


def test_the_configuration_says_where_and_how_long(tmp_path: Path):
    """`open_bus` puts the file into the state directory and applies the configured retention."""
    bus = open_bus(Config(state_dir=str(tmp_path), bus=Bus(retention_hours=1.0)))
    bus.publish("p", some(1), now=0.0)
    assert (tmp_path / "bus.sqlite").exists()
    assert bus.trim(now=3601.0) == 1
    bus.close()
