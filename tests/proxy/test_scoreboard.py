"""Counters that survive their worker, and their settling against the bus."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor.bus import BusError
from proxy.scoreboard import Counters, Scoreboard, read_scoreboards, retire_dead, settle
from proxy.slots import INDEX, OFFSET, OTHERS, ROWS


def count(directory: Path, producer: str, **counters: int) -> None:
    """Let another process count and be killed without a chance to tidy up."""
    script = (
        "import os, pathlib, sys\n"
        "from proxy.scoreboard import Scoreboard\n"
        f"board = Scoreboard(pathlib.Path({str(directory)!r}), {producer!r})\n"
        f"for name, n in {counters!r}.items(): board.add(name.replace('__', '.'), n)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9


def test_a_killed_worker_loses_no_count(tmp_path: Path) -> None:
    """What was counted is there, settled with what the bus has committed."""
    count(tmp_path, "a", received=100, mirrored=40, dropped__too_large=5, queue_bytes=999)
    before = read_scoreboards(tmp_path)
    assert (before.total["received"], before.total["queue_bytes"], before.workers) == (100, 0, 0)
    # The bus had committed 60; the worker died before it counted the last 20.
    assert retire_dead(tmp_path, {"a": 60}.__getitem__) == 35
    total = read_scoreboards(tmp_path).total
    assert (total["received"], total["mirrored"], total["dropped.crash"], total.pending) == (100, 60, 35, 0)
    assert list(tmp_path.glob("*.board")) == []


def test_the_living_are_left_alone(tmp_path: Path) -> None:
    """A board whose worker lives is summed, not settled."""
    board = Scoreboard(tmp_path, "alive")
    board.add("received", 3)
    count(tmp_path, "dead", received=4)
    assert retire_dead(tmp_path, lambda _: 0) == 4
    tally = read_scoreboards(tmp_path)
    assert (tally.total["received"], tally.total.pending, tally.workers) == (7, 3, 1)
    board.close()


def test_counts_wait_for_the_bus(tmp_path: Path) -> None:
    """While the bus is away nothing is settled and nothing is lost."""
    count(tmp_path, "a", received=10)

    def away(_: str) -> int:
        raise BusError("gone")

    with pytest.raises(BusError):
        retire_dead(tmp_path, away)
    assert read_scoreboards(tmp_path).total["received"] == 10
    assert retire_dead(tmp_path, lambda _: 10) == 0
    assert read_scoreboards(tmp_path).total["mirrored"] == 10


def test_folding_twice_counts_once(tmp_path: Path) -> None:
    """A board that is folded but still lies there (killed in between) is not counted again."""
    count(tmp_path, "a", received=10)
    board = (tmp_path / "a.board").read_bytes()
    retire_dead(tmp_path, lambda _: 10)
    (tmp_path / "a.board").write_bytes(board)
    assert read_scoreboards(tmp_path).total["received"] == 10
    retire_dead(tmp_path, lambda _: 10)
    assert read_scoreboards(tmp_path).total["received"] == 10
    assert not (tmp_path / "a.board").exists()


def test_settling_adds_up() -> None:
    """Received = mirrored + dropped, whatever was known."""
    settled = settle(Counters({"received": 9, "mirrored": 5, "dropped.queue_full": 1, "started": 1}), 4)
    assert (settled["mirrored"], settled["dropped.crash"], settled.pending) == (5, 3, 0)
    assert (settled["ended"], settled["started"]) == (9, 0)


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file of this process grow, which is what a full disk does to it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_costs_counts_not_the_worker(tmp_path: Path) -> None:
    """Without room the counters stay in memory, the worker is taken to serve, and the file gets them later."""
    with full_disk():
        board = Scoreboard(tmp_path, "a")
        board.add("received", 3)
        board.copy()
    tally = read_scoreboards(tmp_path)
    assert (board.mapped, tally.workers, tally.uncounted, tally.accepting) == (False, 1, 1, True)
    assert tally.total["received"] == 0
    board.copy()
    tally = read_scoreboards(tmp_path)
    assert (tally.total["received"], tally.uncounted, tally.accepting) == (3, 0, False)
    board.close()


def test_routes_have_rows_that_survive_their_worker(tmp_path: Path) -> None:
    """Two workers meet routes in another order; by name the counts add up, dead or alive."""
    ok = OFFSET["status.2xx"]
    one, two = Scoreboard(tmp_path, "one"), Scoreboard(tmp_path, "two")
    for board, routes in ((one, ("a", "b.c-d_" * 10)), (two, ("b.c-d_" * 10, "a"))):
        for n, route in enumerate(routes, 1):
            board.slots[board.row(route) + ok] += n
    two.slots[two.row("") + ok] += 5
    one.close()
    assert retire_dead(tmp_path, lambda _: 0) == 0
    total = read_scoreboards(tmp_path).total
    assert {route: total.of(route)["status.2xx"] for route in total.routes} == {
        "": 5,
        "a": 3,
        "b.c-d_" * 10: 3,
    }
    assert total.by_status["2xx"] == 11
    two.close()


def test_more_routes_than_rows_share_the_last_one(tmp_path: Path) -> None:
    """No route is lost and none takes another's row."""
    board = Scoreboard(tmp_path, "a")
    for number in range(2 * ROWS):
        board.slots[board.row(f"r{number}") + OFFSET["status.5xx"]] += 1
    counters = board.counters()
    named = [route for route in counters.routes if route != OTHERS]
    assert len(named) == ROWS - 2
    assert {counters.of(route)["status.5xx"] for route in named} == {1}
    assert counters.of(OTHERS)["status.5xx"] == ROWS + 2
    board.close()


def test_a_board_of_another_layout_is_not_misread(tmp_path: Path) -> None:
    """Its size may be the same; what says which layout it is differs."""
    board = Scoreboard(tmp_path, "a")
    board.add("received", 3)
    board.slots[INDEX["layout"]] ^= 1
    assert read_scoreboards(tmp_path).total["received"] == 0
    board.close()
