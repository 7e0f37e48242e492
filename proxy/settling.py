"""Settling: once a second, what dead workers counted is folded, and the bus is told how many exchanges were lost.

Law: it runs in the parent, beside nobody's traffic, because only the parent sees what all workers have counted, the
killed ones included. It reports a total, so that a report that is repeated or late counts once. While the bus is away
or the disk is full nothing is changed: boards and reports wait.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from monitor.bus import Bus, BusError
from proxy.scoreboard import read_scoreboards, retire_dead

log = structlog.get_logger(__name__)

EVERY_S = 1.0


def proxy_name(salt: bytes) -> str:
    """Return the name under which this installation reports; it lives as long as its counters do."""
    return f"proxy-{hashlib.blake2b(salt, digest_size=6, person=b'losses').hexdigest()}"


class Settler:
    """Settles the scoreboards of one directory; threads take turns."""

    def __init__(
        self, directory: Path, name: str, open_bus: Callable[[], Bus], now: Callable[[], float]
    ) -> None:
        self._directory = directory
        self._name = name
        self._open_bus = open_bus
        self._now = now
        self._turn = threading.Lock()
        self._bus: Bus | None = None
        # What the bus has been told. After a start it is told again.
        self._reported = 0
        self._away = False

    def settle(self) -> None:
        """Do both; what bus and disk do not allow now is left for the next time."""
        with self._turn:
            try:
                self._retire()
                self._report()
                self._away = False
            except (BusError, OSError) as error:
                if not self._away:
                    log.warning("counts of dead workers and of losses wait", reason=str(error))
                self._away = True
            finally:
                self._leave_bus()

    def _retire(self) -> None:
        if crashed := retire_dead(self._directory, self._published_by):
            log.warning("exchanges were lost with a worker", n=crashed)

    def _report(self) -> None:
        lost = read_scoreboards(self._directory).total.lost
        if lost != self._reported:
            self._reach_bus().report_dropped(self._name, lost, self._now())
            self._reported = lost

    def _published_by(self, producer: str) -> int:
        return self._reach_bus().published_by(producer)

    def _reach_bus(self) -> Bus:
        self._bus = self._bus or self._open_bus()
        return self._bus

    def _leave_bus(self) -> None:
        if self._bus is not None:
            with suppress(BusError):
                self._bus.close()
            self._bus = None
