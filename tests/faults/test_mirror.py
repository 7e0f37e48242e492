"""The mirror's sink that hangs, fills up, is locked, removed, damaged or read-only: clients notice nothing, counts match."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.bus import BusError
from monitor.bus.sqlite import SqliteBus
from tests.conformance.conftest import hang
from tests.conformance.site import Site
from tests.conformance.wire import until
from tests.faults.conftest import Starting
from tests.faults.counting import adds_up, bus_stats, settled
from tests.faults.harm import HARMS, overwrite

MB = 1024 * 1024
LOST = "bus file was lost, going on with another one"


class Asking:
    """A client that asks all the while, at a steady pace; every answer must be whole and quick."""

    def __init__(self, site: Site, *, every_s: float = 0.005, padding: int = 0) -> None:
        self._wire = site.connect()
        self._request = site.posting(site.chat(padding="x" * padding))
        self._every_s = every_s
        self._stop = threading.Event()
        self.statuses: list[int] = []
        self.took: list[float] = []
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        while not self._stop.wait(self._every_s):
            began = time.monotonic()
            self._wire.send(self._request)
            self.statuses.append(self._wire.message().status)
            self.took.append(time.monotonic() - began)

    def end(self) -> int:
        """Stop; assert that nothing was noticed, and return how many were answered."""
        self._stop.set()
        self._thread.join(10.0)
        assert set(self.statuses) == {200}
        # A wait for the bus would be of 5 s each; a busy machine has pauses of its own.
        assert statistics.median(self.took) < 2.0
        return len(self.statuses)


def bus_of(site: Site) -> Path:
    """Return where a proxy's bus lies unless it is told otherwise."""
    assert site.process is not None
    return site.process.directory / "state" / "bus.sqlite"


def asked(site: Site, seconds: float, **how: object) -> int:
    """Ask for so long, and some times at least, and return how many were answered."""
    asking = Asking(site, **how)  # type: ignore[arg-type]
    time.sleep(seconds)
    until(lambda: len(asking.statuses) > 10, 30.0)
    return asking.end()


def logged(site: Site, event: str) -> list[dict]:
    """Return the log's lines of one event."""
    assert site.process is not None
    return site.process.logged(event)


def test_a_sink_that_hangs(start: Starting, tmp_path: Path, long: bool) -> None:  # noqa: FBT001 - a fixture
    """Another process holds the lock (`--long`: for 60 s): all that fits waits, the rest is dropped, then all is well."""
    (tmp_path / "state").mkdir()
    path = tmp_path / "state" / "bus.sqlite"
    lock = hang(path)
    site = start(mirror={"queue_bytes": 2 * MB})
    before = site.rss_mb()
    asking = Asking(site, padding=20_000)
    if long:
        time.sleep(60.0)
    until(lambda: site.status()["mirror"]["dropped"]["queue_full"] > 100, 40.0)
    answered = asking.end()
    mirror = site.settled()["mirror"]
    assert adds_up(mirror)
    assert (mirror["received"], mirror["mirrored"]) == (answered, 0)
    assert mirror["dropped"]["queue_full"] > 0
    assert mirror["queue"]["bytes"] <= 2 * MB
    assert site.rss_mb() - before < 16
    lock.close()
    mirror = settled(site)
    assert mirror["mirrored"] == bus_stats(path).published == answered - mirror["dropped"]["queue_full"]
    until(lambda: bus_stats(path).dropped == mirror["dropped"]["queue_full"])


def test_a_sink_that_another_process_locks_now_and_then(start: Starting) -> None:
    """Somebody looks into the file with a tool that writes: exchanges wait for it, none is dropped."""
    site = start()
    asking = Asking(site)
    for _ in range(3):
        other = sqlite3.connect(bus_of(site), isolation_level=None, timeout=5.0)
        other.execute("BEGIN IMMEDIATE")
        time.sleep(0.3)
        other.execute("ROLLBACK")
        other.close()
        time.sleep(0.1)
    answered = asking.end()
    mirror = settled(site)
    assert mirror["mirrored"] == bus_stats(bus_of(site)).published == answered


def test_a_bus_file_that_is_lost(start: Starting) -> None:
    """Removed, damaged or emptied, time after time: the mirror goes on with a fresh file, and not one is uncounted."""
    site = start(proxy={"workers": 2})
    path = bus_of(site)
    asking, lost = Asking(site), 0
    for number, harm in enumerate(HARMS, 1):
        before = until(lambda: stats if (stats := bus_stats(path)).published > 20 else None, 30.0)
        reader = SqliteBus(path)
        identity = reader.identity
        harm(path)
        # A monitor reads; a writer alone may touch nothing of what is damaged for a while.
        until(lambda: _read(reader) != identity, 30.0)  # noqa: B023 - it is over when this round is
        reader.close()
        # By whoever noticed first, which may have been this reader.
        assert len(logged(site, LOST)) <= number
        lost += before.published
    answered = asking.end()
    mirror = settled(site)
    assert (mirror["received"], mirror["mirrored"]) == (answered, answered)
    stats = bus_stats(path)
    assert stats.published == stats.waiting <= mirror["mirrored"] - lost
    assert site.process is not None
    assert site.process.stop() == 0


def _read(reader: SqliteBus) -> str:
    with contextlib.suppress(BusError):
        reader.fetch("r", 10, time.time(), 0.01)
        reader.stats()
    return reader.identity


def test_a_bus_file_that_was_spoilt_while_nothing_ran(start: Starting, tmp_path: Path) -> None:
    """What is no database may be somebody's file: it stays, clients are served, exchanges wait; a person removes it."""
    (tmp_path / "state").mkdir()
    path = tmp_path / "state" / "bus.sqlite"
    SqliteBus(path).close()
    overwrite(path)
    held = path.read_bytes()
    site = start()
    answered = asked(site, 0.5)
    mirror = site.settled()["mirror"]
    assert (mirror["mirrored"], mirror["pending"]) == (0, answered)
    assert path.read_bytes() == held
    assert "file is not a database" in until(lambda: logged(site, "bus is away, exchanges wait"))[0]["reason"]
    path.unlink()
    mirror = settled(site)
    assert mirror["mirrored"] == bus_stats(path).published == answered


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a tmpfs of 3 MB; skip where that is not permitted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, leave: int = 0) -> Path:
    """Write until the disk is full, then give `leave` bytes back."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(b"x" * size) == size:
                    pass
    if leave:
        os.truncate(path, path.stat().st_size - leave)
    return path


def test_a_disk_that_fills_up(start: Starting, small_disk: Path) -> None:
    """The bus's disk is full: exchanges wait up to the budget, the rest is dropped; with room again all goes on by itself."""
    site = start(bus={"path": str(small_disk / "bus.sqlite")}, mirror={"queue_bytes": MB})
    path = small_disk / "bus.sqlite"
    asking = Asking(site, padding=10_000)
    until(lambda: bus_stats(path).published > 10, 30.0)
    ballast = fill(small_disk)
    until(lambda: site.status()["mirror"]["dropped"]["queue_full"] > 20, 30.0)
    full = site.status()["mirror"]
    ballast.unlink()
    until(lambda: site.status()["mirror"]["mirrored"] > full["mirrored"], 30.0)
    answered = asking.end()
    mirror = settled(site)
    assert "full" in logged(site, "bus is away, exchanges wait")[0]["reason"]
    assert mirror["received"] == answered
    assert mirror["mirrored"] == bus_stats(path).published == answered - mirror["dropped"]["queue_full"]
    until(lambda: bus_stats(path).dropped == mirror["dropped"]["queue_full"])


@pytest.mark.parametrize("leave", [0, 40_000], ids=["nothing_left", "too_little_left"])
def test_everything_on_a_full_tmpfs(start: Starting, small_disk: Path, leave: int) -> None:
    """No room even for the counters when the proxy starts: it serves, counts in memory, and writes all when there is room."""
    ballast = fill(small_disk, leave)
    # Room for its own small files: a salt, a lock.
    os.truncate(ballast, max(0, ballast.stat().st_size - 8 * 4096))
    state = small_disk / "state"
    (state / "proxy").mkdir(parents=True)
    site = start(state_dir=str(state), mirror={"queue_bytes": MB})
    answered = asked(site, 0.5)
    ballast.unlink()
    until(lambda: site.status()["mirror"]["received"] == answered)
    mirror = settled(site)
    assert mirror["mirrored"] == answered - sum(mirror["dropped"].values())
    assert mirror["mirrored"] == bus_stats(state / "bus.sqlite").published


def test_a_read_only_disk(start: Starting, small_disk: Path) -> None:
    """The bus's disk takes no writing: clients are served, exchanges wait; when it does again they are written."""
    path = small_disk / "bus.sqlite"
    SqliteBus(path).close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    site = start(bus={"path": str(path)})
    answered = asked(site, 0.5)
    mirror = site.settled()["mirror"]
    assert adds_up(mirror)
    assert (mirror["mirrored"], mirror["pending"]) == (0, answered)
    (reason,) = {line["reason"] for line in until(lambda: logged(site, "bus is away, exchanges wait"))}
    assert "readonly" in reason or "unable to open" in reason
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    mirror = settled(site)
    assert mirror["mirrored"] == bus_stats(path).published == answered


def test_a_sink_that_is_away_at_the_end(start: Starting, tmp_path: Path, long: bool) -> None:  # noqa: FBT001 - a fixture
    """Stopped with the bus locked: what cannot be written is counted, and the next start tells the monitor."""
    if not long:
        pytest.skip("every part's patience adds up to ten seconds: --long")
    (tmp_path / "state").mkdir()
    path = tmp_path / "state" / "bus.sqlite"
    lock = hang(path)
    site = start()
    answered = asked(site, 0.3)
    assert site.process is not None
    assert site.process.stop() == 0
    lock.close()
    again = start()
    mirror = settled(again)
    assert (mirror["received"], mirror["mirrored"]) == (answered, 0)
    assert mirror["dropped"]["bus_error"] + mirror["dropped"]["crash"] == answered
    until(lambda: bus_stats(path).dropped == answered)
