"""What the proxy lost reaches the bus, from the real mirror over the real file, whatever dies in between."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitor.bus import Bus, BusError, Losses
from monitor.bus.sqlite import SqliteBus
from monitor.contract.config import Mirror as MirrorConfig
from proxy.assemble import Assembler
from proxy.mirror import Clock, Mirror, MirrorWriter
from proxy.redact import Redactor
from proxy.scoreboard import INDEX, Scoreboard, read_scoreboards
from proxy.settling import Settler, proxy_name

CHAT = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'
KILLED = """
import os, pathlib, sys
from proxy.scoreboard import Scoreboard
board = Scoreboard(pathlib.Path(sys.argv[1]), "killed")
board.add("received", 9)
board.add("dropped.opted_out", 2)
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[SqliteBus]:
    """Give a bus file."""
    bus = SqliteBus(tmp_path / "bus.sqlite")
    yield bus
    bus.close()


@pytest.fixture
def settler(tmp_path: Path, bus: SqliteBus) -> Settler:
    """Give a settler that finds that file, at the epoch second 70."""
    return Settler(tmp_path / "proxy", "proxy-1", lambda: SqliteBus(tmp_path / "bus.sqlite"), lambda: 70.0)


def serve(mirror: Mirror, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    """Let an exchange with this request pass."""
    mirror._slots[INDEX["received"]] += 1  # as the forwarder does
    capture = mirror.begin(mirror.new_id(70.0), 70.0, 1.0, "chat.completions", list(headers))
    if capture is not None:
        capture.keep_request(body)
        capture.status = 200
        mirror.offer(capture, 1.5)


def write(mirror: Mirror, board: Scoreboard, open_bus: Callable[[], Bus]) -> None:
    """Run the mirror's writer until it has written all there is."""
    writer = MirrorWriter(mirror, board, Assembler(Redactor((), {}), b"salt", 2**20), open_bus, 0.01)
    writer.start()
    assert writer.stop(0.5)


def test_what_the_mirror_drops_reaches_the_bus(tmp_path: Path, bus: SqliteBus, settler: Settler) -> None:
    """Too large and no room are losses; what a client or the configuration asked for is none."""
    board = Scoreboard(tmp_path / "proxy", "w")
    config = MirrorConfig(queue_bytes=4 * 1024, max_body_bytes=200)
    mirror = Mirror(config, board, b"salt", Clock(lambda: 70.0))
    serve(mirror, b"x" * 201)
    serve(mirror, CHAT, (b"drift-mirror", b"?0"))
    for _ in range(10):
        serve(mirror, CHAT)
    write(mirror, board, lambda: SqliteBus(tmp_path / "bus.sqlite"))
    settler.settle()
    total = board.counters()
    assert (total["dropped.too_large"], total["dropped.opted_out"], total.pending) == (1, 1, 0)
    assert total["dropped.queue_full"] > 0
    assert bus.losses(60.0) == Losses(offered=11, lost=1 + total["dropped.queue_full"])
    assert bus.stats().dropped == total.lost
    settler.settle()
    assert bus.losses(60.0).offered == 11
    board.close()


def test_losses_wait_for_the_bus(tmp_path: Path, bus: SqliteBus) -> None:
    """What was given up because the bus was away is reported when it is back, by a later process too."""
    board = Scoreboard(tmp_path / "proxy", "w")

    def away() -> Bus:
        raise BusError("disk full")

    mirror = Mirror(MirrorConfig(), board, b"salt", Clock(lambda: 70.0))
    serve(mirror, CHAT)
    write(mirror, board, away)
    assert board.counters()["dropped.bus_error"] == 1
    for _ in range(2):
        Settler(tmp_path / "proxy", "proxy-1", away, lambda: 70.0).settle()
    assert bus.stats().dropped == 0
    for _ in range(2):
        Settler(
            tmp_path / "proxy", "proxy-1", lambda: SqliteBus(tmp_path / "bus.sqlite"), lambda: 70.0
        ).settle()
    assert bus.losses(0.0) == Losses(offered=1, lost=1)
    board.close()


def test_what_dies_with_a_worker_is_lost_too(tmp_path: Path, bus: SqliteBus, settler: Settler) -> None:
    """The counts of a killed worker are settled, and what the bus never got is reported."""
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "proxy")], check=False)
    assert killed.returncode == -9
    settler.settle()
    assert read_scoreboards(tmp_path / "proxy").total["dropped.crash"] == 7
    assert bus.losses(60.0) == Losses(offered=7, lost=7)


def test_a_full_disk_is_no_reason_to_end(tmp_path: Path, bus: SqliteBus, settler: Settler) -> None:
    """Where the folded counts cannot be written, the boards stay; they are settled when there is room again."""
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "proxy")], check=False)
    assert killed.returncode == -9
    in_the_way = tmp_path / "proxy" / "retired.json.new"
    in_the_way.mkdir()
    settler.settle()
    assert bus.stats().dropped == 0
    in_the_way.rmdir()
    settler.settle()
    assert bus.stats().dropped == 7


def test_a_board_that_is_being_made_is_nobodys_corpse(tmp_path: Path, settler: Settler) -> None:
    """A worker opens its board before it holds the lock: not to be taken away before it is old."""
    board = tmp_path / "proxy" / "new.board"
    board.parent.mkdir()
    board.touch()
    settler.settle()
    assert board.exists()
    os.utime(board, (1.0, 1.0))
    settler.settle()
    assert not board.exists()


def test_an_installation_keeps_its_name(tmp_path: Path) -> None:
    """Derived from its salt: the same after a restart, another for another, and the salt stays a secret."""
    salt = os.urandom(32)
    assert proxy_name(salt) == proxy_name(salt) != proxy_name(os.urandom(32))
    assert salt.hex()[:8] not in proxy_name(salt)
