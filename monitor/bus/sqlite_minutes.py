"""Minutes of the SQLite bus: how many exchanges were offered and how many of them are lost, by epoch minute.

Law of this file: it works inside a transaction that the caller holds, so that a minute's numbers change together with
whatever they count. Producers report totals, not increases: a report that is repeated counts once. A total that has
shrunk (somebody removed the producer's counters) counts nothing and is where counting goes on from.
"""

from __future__ import annotations

import sqlite3

from monitor.bus import Losses

# The longest window that can be configured (detection.window_hours) needs no older ones.
_KEPT_MINUTES = 31 * 24 * 60


def note(connection: sqlite3.Connection, at: float, *, offered: int = 0, lost: int = 0) -> None:
    """Add exchanges to the minute of the epoch second `at`."""
    connection.execute(
        "INSERT INTO minutes VALUES (?, ?, ?) ON CONFLICT (minute) DO UPDATE SET"
        " offered = offered + excluded.offered, lost = lost + excluded.lost",
        (int(at // 60), offered, lost),
    )


def report(connection: sqlite3.Connection, producer: str, total: int, now: float) -> bool:
    """Take in how many exchanges a producer has dropped, ever; tell whether it has reported for the first time."""
    found = connection.execute("SELECT dropped FROM reports WHERE producer = ?", (producer,)).fetchone()
    connection.execute("INSERT OR REPLACE INTO reports VALUES (?, ?)", (producer, total))
    new = max(0, total - (found[0] if found else 0))
    connection.execute("UPDATE counters SET dropped = dropped + ?", (new,))
    note(connection, now, offered=new, lost=new)
    return found is None


def losses_since(connection: sqlite3.Connection, since: float) -> Losses:
    """Sum from the minute of the epoch second `since` on."""
    offered, lost = connection.execute(
        "SELECT coalesce(sum(offered), 0), coalesce(sum(lost), 0) FROM minutes WHERE minute >= ?",
        (int(since // 60),),
    ).fetchone()
    return Losses(offered, lost)


def forget(connection: sqlite3.Connection, now: float) -> None:
    """Remove the minutes that no window reaches any more."""
    connection.execute("DELETE FROM minutes WHERE minute < ?", (int(now // 60) - _KEPT_MINUTES,))
