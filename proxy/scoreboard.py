"""The scoreboard: one small file of uint64 counters per worker, mapped into memory, as nginx and Apache do it.

Law: what stands where is said in `proxy.slots`. A counter only grows and has one writing thread, so that `+= 1` needs
no lock; gauges (`GAUGES`) are set by their owner. The file outlives its worker: whatever was counted before a kill -9
is still there, and its lock (held by the living worker, released by the kernel with it) tells the living from the
dead. What dead workers counted is settled against the bus and folded into `retired.json`; after that `received = mirrored + dropped by reason` again.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from proxy.slots import (
    GAUGES,
    INDEX,
    LAYOUT,
    LOSSES,
    NAME_BYTES,
    NAME_SLOTS,
    OTHERS,
    ROW,
    ROWS,
    SLOTS,
    STATUS_CLASSES,
    TOTAL,
    UNROUTED,
    Histogram,
    of_route,
    row_at,
)

_SIZE = 8 * TOTAL
# A board that is still empty after so long was left by a worker that died, or had no room, while it was made.
_BEING_MADE_S = 5.0


class Scoreboard:
    """A worker's own counters, mapped from its file; `slots[INDEX[name]]` is the hot way in."""

    def __init__(self, directory: Path, producer: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.producer = producer
        self._fd = os.open(directory / f"{producer}.board", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        # False while the disk is full: then the counters live in this process and `copy` writes them when it can.
        self.mapped = _reserve(self._fd)
        self._map = mmap.mmap(self._fd if self.mapped else -1, _SIZE)
        self.slots = memoryview(self._map).cast("Q")
        self.slots[INDEX["layout"]] = LAYOUT
        # route -> where the counters of its row begin.
        self.rows = {UNROUTED: row_at(0)}

    def add(self, name: str, amount: int = 1) -> None:
        """Add to a counter by name."""
        self.slots[INDEX[name]] += amount

    def observe(self, histogram: Histogram, seconds: float) -> None:
        """Add to a histogram that all routes share."""
        self.slots[INDEX[histogram.slots[bisect_left(histogram.edges, seconds)]]] += 1
        self.slots[INDEX[histogram.slots[-1]]] += int(seconds * 1e6)

    def row(self, route: str) -> int:
        """Return where the counters of a route begin; the first time it is given a row, or shares the last one."""
        if route not in self.rows:
            number = min(len(self.rows), ROWS - 1)
            name = OTHERS if number == ROWS - 1 else route
            start = row_at(number)
            self._map[8 * (start - NAME_SLOTS) : 8 * start] = name.encode("ascii").ljust(NAME_BYTES, b"\0")
            self.rows[route] = start
        return self.rows[route]

    def put(self, name: str, value: int) -> None:
        """Set a gauge."""
        self.slots[INDEX[name]] = value

    def copy(self) -> None:
        """Write the counters to the file where it could not be mapped; called once a second."""
        if not self.mapped:
            with suppress(OSError):
                os.pwrite(self._fd, self._map[:], 0)

    def counters(self) -> Counters:
        """Read all counters."""
        return _counters(self.slots)

    def close(self) -> None:
        """Unmap the file and release its lock; from now on others see this worker as gone."""
        self.copy()
        self.slots.release()
        self._map.close()
        os.close(self._fd)


def _reserve(fd: int) -> bool:
    """Give the file its whole size on the disk; touching a mapped page that the disk has no room for is SIGBUS."""
    if os.fstat(fd).st_size == _SIZE:
        return True
    try:
        return os.pwrite(fd, bytes(_SIZE), 0) == _SIZE
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Counters:
    """Counter values by name; several workers' add up."""

    values: dict[str, int]

    def __getitem__(self, name: str) -> int:
        return self.values.get(name, 0)

    def plus(self, other: Counters) -> Counters:
        """Add two sets of counters."""
        return Counters({name: self[name] + other[name] for name in self.values | other.values})

    def under(self, prefix: str) -> dict[str, int]:
        """Return the counters `prefix.*`, by what follows the point."""
        start = prefix + "."
        return {name[len(start) :]: self[name] for name in SLOTS if name.startswith(start)}

    @property
    def routes(self) -> list[str]:
        """The routes that anything was counted for."""
        last = of_route(ROW[-1], "")
        return [name.removeprefix(last) for name in self.values if name.startswith(last)]

    def of(self, route: str) -> Counters:
        """Return the counters of a route's row."""
        return Counters({slot: self[of_route(slot, route)] for slot in ROW})

    @property
    def by_status(self) -> dict[str, int]:
        """Responses by status class, of all routes together."""
        routes = self.routes
        return {
            kind: sum(self[of_route(f"status.{kind}", route)] for route in routes) for kind in STATUS_CLASSES
        }

    @property
    def dropped(self) -> int:
        """All exchanges that will never reach the bus."""
        return sum(self.under("dropped").values())

    @property
    def partial(self) -> int:
        """All mirrored exchanges that are not whole."""
        return sum(self.under("partial").values())

    @property
    def lost(self) -> int:
        """Those of them that were to be mirrored."""
        return sum(self[f"dropped.{reason}"] for reason in LOSSES)

    @property
    def pending(self) -> int:
        """Exchanges received that are neither mirrored nor dropped: being served, queued or written."""
        return self["received"] - self["mirrored"] - self.dropped


NOTHING = Counters({})


def _counters(slots: memoryview[int]) -> Counters:
    """Name what stands on a board, less what says whose it is; a row that nothing stands in has no route."""
    values = dict(zip(SLOTS, slots[: len(SLOTS)], strict=True))
    del values["layout"]
    for number in range(ROWS):
        start = row_at(number)
        name = slots[start - NAME_SLOTS : start].tobytes().rstrip(b"\0").decode("ascii", "replace")
        if number and not name:
            break
        row = slots[start : start + len(ROW)].tolist()
        if name or any(row):
            values |= {of_route(slot, name): count for slot, count in zip(ROW, row, strict=True)}
    return Counters(values)


class _Retired(msgspec.Struct):
    """What dead workers counted. `names` are those whose files may still lie about."""

    names: list[str] = msgspec.field(default_factory=list)
    counters: dict[str, int] = msgspec.field(default_factory=dict)


@contextmanager
def _locked(directory: Path, kind: int) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True)
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, kind)
        yield
    finally:
        os.close(fd)


def _read_retired(directory: Path) -> _Retired:
    try:
        return msgspec.json.decode((directory / "retired.json").read_bytes(), type=_Retired)
    except (FileNotFoundError, msgspec.DecodeError):
        return _Retired()


def _read_board(path: Path) -> Counters:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return NOTHING
    # A board of another version: what it counted cannot be told apart.
    if len(data) != _SIZE:
        return NOTHING
    slots = memoryview(data).cast("Q")
    return _counters(slots) if slots[INDEX["layout"]] == LAYOUT else NOTHING


class Tally(NamedTuple):
    """What the scoreboards say together, how many workers live, and how many of those have no room to be counted."""

    total: Counters
    workers: int
    uncounted: int

    @property
    def accepting(self) -> bool:
        """Whether a worker takes requests; one that cannot say so is taken to."""
        return self.total["started"] > 0 or self.uncounted > 0


def read_scoreboards(directory: Path) -> Tally:
    """Sum the boards of all workers, living and dead."""
    with _locked(directory, fcntl.LOCK_SH):
        retired = _read_retired(directory)
        total, living, uncounted = Counters(retired.counters), 0, 0
        for path in directory.glob("*.board"):
            if path.stem in retired.names:
                continue
            counters = _read_board(path)
            if _is_dead(path):
                counters = _without_gauges(counters)
            else:
                living += 1
                uncounted += counters is NOTHING
            total = total.plus(counters)
        return Tally(total, living, uncounted)


def settle(counters: Counters, published: int) -> Counters:
    """Make a dead worker's counters add up: the bus knows what was mirrored, the rest was lost with it."""
    values = dict(_without_gauges(counters).values)
    values["mirrored"] = max(values.get("mirrored", 0), published)
    values["ended"] = values.get("received", 0)
    lost = Counters(values).pending
    values["dropped.crash"] = values.get("dropped.crash", 0) + max(0, lost)
    return Counters(values)


def _without_gauges(counters: Counters) -> Counters:
    return Counters({name: value for name, value in counters.values.items() if name not in GAUGES})


def retire_dead(directory: Path, published_by: Callable[[str], int]) -> int:
    """Settle and fold the boards of dead workers; return how many exchanges were lost with them.

    `published_by` may raise (the bus is away): then nothing is changed and the boards wait.
    """
    dead = [path for path in directory.glob("*.board") if _is_dead(path)]
    settled = {path: settle(_read_board(path), published_by(path.stem)) for path in dead}
    if not dead:
        return 0
    with _locked(directory, fcntl.LOCK_EX):
        retired, lost = _read_retired(directory), 0
        total = Counters(retired.counters)
        for path, counters in settled.items():
            if path.exists() and path.stem not in retired.names:
                total = total.plus(counters)
                lost += counters["dropped.crash"]
        _write_retired(directory, _Retired([path.stem for path in dead], total.values))
        for path in dead:
            path.unlink(missing_ok=True)
    return lost


def _write_retired(directory: Path, retired: _Retired) -> None:
    temporary = directory / "retired.json.new"
    temporary.write_bytes(msgspec.json.encode(retired))
    temporary.replace(directory / "retired.json")


def _is_dead(path: Path) -> bool:
    """Tell whether no process holds the board's lock; one that is still being made is alive."""
    with suppress(FileNotFoundError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            board = os.fstat(fd)
            if not board.st_size and time.time() - board.st_mtime < _BEING_MADE_S:
                return False
        except BlockingIOError:
            return False
        finally:
            os.close(fd)
    return True
