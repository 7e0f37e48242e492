"""File descriptors: how many there may be, how many clients they leave room for, and what a lack of them costs.

Law: an exchange takes two, the client's connection and the upstream's. So a worker takes clients in for half of them,
less what it keeps for everything else (HAProxy reckons its `maxconn` so), and refuses others in words; where even words
would cost too much it closes. Whatever a lack costs is counted, and said in the log at most every ten seconds.
"""

from __future__ import annotations

import errno
import os
import resource
from typing import NamedTuple

import structlog

from proxy.scoreboard import Scoreboard
from proxy.slots import INDEX

log = structlog.get_logger(__name__)

# What a hard limit without end is taken for: Linux's own bound, unless it was changed (fs.nr_open).
_ENDLESS = 1 << 20
_EVERY_S = 10.0
_REFUSED, _WITHOUT = INDEX["fault.too_many_connections"], INDEX["out_of_files"]


class Room(NamedTuple):
    """How many clients may be connected, and from which descriptor on a connection is closed without a word."""

    clients: int
    descriptors: int


def room_within(limit: int) -> Room:
    """Share a limit of open files out. What is kept is for the bus, logs, certificates and what is being refused."""
    kept = min(max(limit // 8, 64), 1024)
    return Room(max(1, (limit - kept) // 2), limit - kept // 4)


def file_limit() -> int:
    """Return how many files this process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_file_limit() -> tuple[int, int]:
    """Raise this process's limit, and that of what it starts, as far as it may; return it before and now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENDLESS if hard == resource.RLIM_INFINITY else hard
    if soft in (resource.RLIM_INFINITY, wanted):
        return soft, wanted
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:
        log.warning("file limit stays", limit=soft, wanted=wanted, reason=str(error))
    return soft, file_limit()


def lacks_files(error: BaseException | None) -> bool:
    """Tell whether an error comes of a lack of file descriptors, here or in the whole system."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}:
            return True
        error = error.__cause__ or error.__context__
    return False


class FileWatch:
    """Looks once a second whether there is a descriptor left, and says in the log what a lack has cost."""

    def __init__(self, board: Scoreboard, limit: int) -> None:
        self._board = board
        self._limit = limit
        self._said = (0, 0)
        self._not_before = 0.0

    def look(self, now: float) -> None:
        """Look, at a time in seconds of any clock that only goes forward."""
        slots = self._board.slots
        # The loop's library then takes connections in only to close them, and tells nobody.
        slots[_WITHOUT] += _none_left()
        refused, without = costs = (slots[_REFUSED], slots[_WITHOUT])
        if costs == self._said or now < self._not_before:
            return
        log.warning(
            "file limit reached",
            limit=self._limit,
            refused=refused - self._said[0],
            seconds_without=without - self._said[1],
        )
        self._said, self._not_before = costs, now + _EVERY_S


def _none_left() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return lacks_files(error)
    return False
