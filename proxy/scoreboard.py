"""The scoreboard: one small file of uint64 counters per worker, mapped into memory, as nginx and Apache do it.

Law: a counter only grows and has one writing thread, so that `+= 1` needs no lock; gauges (`GAUGES`) are set by
their owner. The file outlives its worker: whatever was counted before a kill -9 is still there, and its lock (held
by the living worker, released by the kernel with it) tells the living from the dead. What dead workers counted is
settled against the bus and folded into `retired.json`; after that `received = mirrored + dropped by reason` again.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from proxy.faults import FAULTS

# Reasons for which an exchange never reaches the bus. The serving thread writes the first line, the mirror's writer
# the second; `crash` is only ever derived, when a dead worker is settled.
DROP_REASONS = (
    "endpoint", "mirror_off", "not_routed", "opted_out", "sampled_out", "too_large", "queue_full", "crash",
)  # fmt: skip
WRITER_DROP_REASONS = ("bus_error", "internal")
# Those among them that nobody asked for: the monitor is told, because what it then judges is not all there was.
LOSSES = ("too_large", "queue_full", "crash", "bus_error", "internal")
LEFT_PHASES = ("before_head", "before_body", "mid_stream")
# Upper edges in seconds; the last bucket has none.
LATENCY_EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
GAUGES = ("queue_exchanges", "queue_bytes", "started")

SLOTS: tuple[str, ...] = (
    "received",
    "ended",
    "mirrored",
    "partial",
    "malformed",
    "bus_retries",
    *(f"dropped.{reason}" for reason in (*DROP_REASONS, *WRITER_DROP_REASONS)),
    *(f"status.{kind}xx" for kind in range(1, 6)),
    *(f"fault.{code}" for code in FAULTS),
    *(f"left.{phase}" for phase in LEFT_PHASES),
    *(f"{what}.{i}" for what in ("head", "duration") for i in range(len(LATENCY_EDGES) + 1)),
    "head.sum_us",
    "duration.sum_us",
    *GAUGES,
)
INDEX: Mapping[str, int] = {name: i for i, name in enumerate(SLOTS)}
_SIZE = 8 * len(SLOTS)
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

    def add(self, name: str, amount: int = 1) -> None:
        """Add to a counter by name."""
        self.slots[INDEX[name]] += amount

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
        return Counters(dict(zip(SLOTS, self.slots, strict=True)))

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
        return Counters({name: self[name] + other[name] for name in SLOTS})

    def under(self, prefix: str) -> dict[str, int]:
        """Return the counters `prefix.*`, by what follows the point."""
        start = prefix + "."
        return {name[len(start) :]: self[name] for name in SLOTS if name.startswith(start)}

    @property
    def dropped(self) -> int:
        """All exchanges that will never reach the bus."""
        return sum(self.under("dropped").values())

    @property
    def lost(self) -> int:
        """Those of them that were to be mirrored."""
        return sum(self[f"dropped.{reason}"] for reason in LOSSES)

    @property
    def pending(self) -> int:
        """Exchanges received that are neither mirrored nor dropped: being served, queued or written."""
        return self["received"] - self["mirrored"] - self.dropped


NOTHING = Counters({})


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
    # A board of another version has another size; what it counted cannot be told apart.
    return (
        Counters(dict(zip(SLOTS, memoryview(data).cast("Q"), strict=True))) if len(data) == _SIZE else NOTHING
    )


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
