"""A bus file that is removed, replaced or damaged while it is in use."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from monitor.bus import BusError
from monitor.bus.bus_file import BusReplaced
from monitor.bus.sqlite import SqliteBus
from monitor.contract import Exchange, Tier, Verdict
from tests.faults.harm import HARMS, delete_all, overwrite, overwrite_pages

Harm = Callable[[Path], None]

# Publishes one exchange for each line on its standard input and says what became of it.
PRODUCER = """
import sys, time
from pathlib import Path
from monitor.bus.sqlite import SqliteBus
from monitor.contract import Exchange
bus = SqliteBus(Path(sys.argv[1]), busy_s=10.0)
print(bus.identity, flush=True)
for line in sys.stdin:
    bus.publish("other", [Exchange(id=line.strip(), time=0.0, prompt="hello")], time.time())
    print(bus.identity, flush=True)
"""


def some(n: int) -> list[Exchange]:
    """Make n exchanges."""
    return [Exchange(id=f"x{i}", time=0.0, prompt="hello " * 200) for i in range(n)]


def used(path: Path) -> SqliteBus:
    """Open a bus on which 200 exchanges wait."""
    bus = SqliteBus(path, busy_s=5.0)
    for _ in range(10):
        bus.publish("p", some(20), now=0.0)
    return bus


@pytest.mark.parametrize("harm", HARMS)
def test_publishing_goes_on_and_says_what_is_lost(harm: Harm, tmp_path: Path) -> None:
    """No call fails, what is published afterwards is on a sound bus of its own, and the loss is told in one line."""
    path = tmp_path / "bus.sqlite"
    bus, reader = used(path), SqliteBus(path)
    before = bus.identity
    harm(path)
    with capture_logs() as logs:
        for number in range(30):
            bus.publish("p", some(10), now=60.0)
            # A writer alone may not touch what is damaged for long.
            with suppress(BusReplaced):
                reader.fetch("r", 1000, now=60.0 + number, lease_s=0.5)
    (line,) = [entry for entry in logs if entry["log_level"] == "error"]
    assert "bus file was lost" in line["event"]
    assert bus.identity == reader.identity != before
    lost, new = line["exchanges_lost"], bus.stats()
    assert new.published == new.waiting >= 280
    assert lost == "unknown" or lost + new.published == 500
    assert new.dropped == (0 if lost == "unknown" else lost)
    assert len(reader.fetch("r", 10_000, now=100.0)) == new.published // 10
    reader.close()
    bus.close()
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    raw.close()


@pytest.mark.parametrize("harm", [overwrite, overwrite_pages])
def test_a_damaged_file_is_kept_beside(harm: Harm, tmp_path: Path) -> None:
    """It is moved, readable by its owner alone, with its log; the next one takes its place: the disk does not fill."""
    path = tmp_path / "bus.sqlite"
    for _ in range(2):
        bus = used(path)
        harm(path)
        with pytest.raises(BusReplaced, match=r"malformed|not a database"):
            bus.fetch("r", 1000, now=60.0)
        bus.publish("p", some(10), now=60.0)
        bus.close()
    kept = sorted(file.name for file in tmp_path.iterdir() if "damaged" in file.name)
    assert kept[0] == "bus.sqlite.damaged"
    assert set(kept) <= {"bus.sqlite.damaged", "bus.sqlite.damaged-wal"}
    assert {file.stat().st_mode & 0o077 for file in tmp_path.iterdir()} == {0}


def test_a_reader_hears_of_it_once(tmp_path: Path) -> None:
    """What it knew is of the file before: it is told, no batch of the new file is taken for an old one, it goes on."""
    path = tmp_path / "bus.sqlite"
    bus, reader = used(path), SqliteBus(path)
    ids = [batch.id for batch in reader.fetch("r", 60, now=1.0)]
    reader.put_verdicts([Verdict(route="default", arm="control", tier=Tier.OK, time=1.0)])
    delete_all(path)
    new = [bus.publish("p", some(1), now=60.0) for _ in range(5)]
    assert set(ids) & set(new)
    with pytest.raises(BusReplaced, match="was removed or replaced while in use"):
        reader.ack(ids)
    reader.ack([])
    assert reader.identity == bus.identity
    assert reader.stats().acknowledged == 0
    assert [batch.id for batch in reader.fetch("r", 100, now=61.0)] == new
    assert reader.verdicts() == (0, [])
    bus.close()
    reader.close()


@pytest.mark.parametrize("harm", HARMS)
def test_processes_meet_on_one_new_file(harm: Harm, tmp_path: Path) -> None:
    """Whoever notices first makes it; the others find it, also when the old file is closed after that."""
    path = tmp_path / "bus.sqlite"
    bus, reader, idle = used(path), SqliteBus(path), SqliteBus(path)
    command = [sys.executable, "-c", PRODUCER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline().strip() == bus.identity
        harm(path)
        names = set()
        for number in range(20):
            bus.publish("p", some(10), now=60.0)
            other.stdin.write(f"{number}\n")
            other.stdin.flush()
            names.add(other.stdout.readline().strip())
            with suppress(BusReplaced):
                reader.fetch("r", 1000, now=60.0 + number, lease_s=0.5)
            if number == 10:
                idle.close()
        assert bus.identity in names
        other.stdin.close()
    stats = bus.stats()
    assert 15 <= bus.published_by("other") <= 20
    assert stats.published == bus.published_by("p") + bus.published_by("other") > 150
    fetched = [each for batch in bus.fetch("r", 10_000, now=100.0) for each in batch.exchanges]
    assert len(fetched) == stats.published
    reader.close()
    bus.close()


def test_another_bus_put_in_its_place_is_used(tmp_path: Path) -> None:
    """Somebody restores a copy: what it holds is served, what waited on the lost one counts as lost."""
    path, copy = tmp_path / "bus.sqlite", tmp_path / "copy.sqlite"
    older = SqliteBus(copy)
    older.publish("p", some(3), now=0.0)
    older.close()
    bus = used(path)
    shutil.move(copy, path)
    bus.publish("p", some(1), now=60.0)
    assert (bus.stats().published, bus.stats().dropped) == (4, 200)
    assert len(bus.fetch("r", 100, now=61.0)) == 2
    bus.close()


def test_while_there_is_no_place_for_a_new_one_the_bus_is_away(tmp_path: Path) -> None:
    """Each call says so; when there is a place the bus goes on and still tells what was lost."""
    folder = tmp_path / "deep"
    path = folder / "bus.sqlite"
    bus = used(path)
    shutil.rmtree(folder)
    folder.write_text("in the way")
    for _ in range(2):
        with pytest.raises(BusError, match="Not a directory"):
            bus.publish("p", some(1), now=60.0)
    folder.unlink()
    bus.publish("p", some(1), now=60.0)
    assert (bus.stats().published, bus.stats().dropped) == (1, 200)
    bus.close()


def test_damage_found_at_the_opening(tmp_path: Path) -> None:
    """A bus whose tables cannot be read is moved aside; a file that is no database may be somebody's and stays."""
    path = tmp_path / "bus.sqlite"
    used(path).close()
    overwrite_pages(path)
    with capture_logs() as logs:
        bus = SqliteBus(path)
    assert bus.stats().published == 0
    assert "malformed" in logs[0]["reason"]
    assert (tmp_path / "bus.sqlite.damaged").exists()
    bus.close()
    overwrite(path)
    held = path.read_bytes()
    with pytest.raises(BusError, match="file is not a database"):
        SqliteBus(path)
    assert path.read_bytes() == held
