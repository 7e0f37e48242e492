"""Rows of the SQLite bus: counting and removing batches inside a transaction that the caller holds.

Law of this file: every change of a batch's state goes with its change of the counters, in the same transaction,
so that `published = acknowledged + expired + damaged + waiting` holds after every commit. Batches that nobody needs
any more are removed before batches that nobody has read, and a batch under a live lease is never removed.
Freed pages are used again, so the file stays at about the bytes it may keep, and a transaction that removes stays
short (`_CHUNK` batches).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from monitor.bus.sqlite_minutes import note
from monitor.contract import SCHEMA_VERSION

WAITING, ACKNOWLEDGED, DAMAGED = 0, 1, 2
# Batches that `now` finds free and a reader of this schema version understands: (now, version).
FREE = "FROM batches WHERE state = 0 AND lease_until <= ? AND encoding <= ?"
_CHUNK = 64


class Change(NamedTuple):
    """What a transaction adds to the counters (exchanges, bytes)."""

    published: int = 0
    acknowledged: int = 0
    expired: int = 0
    damaged: int = 0
    waiting: int = 0
    waiting_bytes: int = 0
    kept_bytes: int = 0


class Lease(NamedTuple):
    """Who leases, when, and until when (epoch seconds)."""

    reader: str
    now: float
    until: float


class _Row(NamedTuple):
    id: int
    state: int
    n: int
    bytes: int
    created: float


def count(connection: sqlite3.Connection, change: Change) -> None:
    """Add to the counters."""
    connection.execute(
        "UPDATE counters SET published = published + ?, acknowledged = acknowledged + ?, expired = expired + ?,"
        " damaged = damaged + ?, waiting = waiting + ?, waiting_bytes = waiting_bytes + ?,"
        " kept_bytes = kept_bytes + ?",
        change,
    )


def lease(connection: sqlite3.Connection, terms: Lease, limit: int) -> list[tuple[int, bytes]]:
    """Lease the oldest free batches, about `limit` exchanges of them; return their ids and payloads."""
    taken: list[int] = []
    total = 0
    for batch_id, n in connection.execute(f"SELECT id, n {FREE} ORDER BY id", (terms.now, SCHEMA_VERSION)):
        if taken and total + n > limit:
            break
        taken.append(batch_id)
        total += n
    connection.executemany(
        "UPDATE batches SET reader = ?, lease_until = ? WHERE id = ?",
        [(terms.reader, terms.until, batch_id) for batch_id in taken],
    )
    return [(batch_id, payload(connection, batch_id)) for batch_id in taken]


def payload(connection: sqlite3.Connection, batch_id: int) -> bytes:
    """Return the encoded exchanges of a batch; nothing (which does not decode) where they are missing."""
    found = connection.execute("SELECT body FROM payloads WHERE batch = ?", (batch_id,)).fetchone()
    return bytes(found[0]) if found else b""


def settle(connection: sqlite3.Connection, batch_ids: Sequence[int], state: int) -> None:
    """Move waiting batches to ACKNOWLEDGED or DAMAGED; what is not waiting any more stays as it is."""
    n = size = 0
    for batch_id in batch_ids:
        found = connection.execute(
            "SELECT n, bytes, created FROM batches WHERE id = ? AND state = ?", (batch_id, WAITING)
        ).fetchone()
        if found:
            connection.execute("UPDATE batches SET state = ? WHERE id = ?", (state, batch_id))
            n, size = n + found[0], size + found[1]
            if state == DAMAGED:
                note(connection, found[2], lost=found[0])
    done = Change(acknowledged=n) if state == ACKNOWLEDGED else Change(damaged=n)
    count(connection, done._replace(waiting=-n, waiting_bytes=-size))


def remove_older(connection: sqlite3.Connection, cutoff: float, now: float) -> tuple[int, int]:
    """Remove up to a chunk of batches created before `cutoff`; return (batches removed, unread exchanges lost)."""
    rows = [
        _Row(*found)
        for found in connection.execute(
            "SELECT id, state, n, bytes, created FROM batches WHERE state IN (0, 1, 2) AND created < ?"
            " AND NOT (state = 0 AND lease_until > ?) LIMIT ?",
            (cutoff, now, _CHUNK),
        )
    ]
    return len(rows), _remove(connection, rows)


def remove_beyond(
    connection: sqlite3.Connection, limit_bytes: int, now: float, keep: int = -1
) -> tuple[int, int]:
    """Remove up to a chunk of batches, oldest first, until `limit_bytes` hold; never the batch `keep`.

    Returns (batches removed, unread exchanges lost).
    """
    (excess,) = connection.execute("SELECT kept_bytes - ? FROM counters", (limit_bytes,)).fetchone()
    rows: list[_Row] = []
    for state in (ACKNOWLEDGED, DAMAGED, WAITING):
        if excess <= 0 or len(rows) >= _CHUNK:
            break
        for found in connection.execute(
            "SELECT id, state, n, bytes, created FROM batches WHERE state = ? AND lease_until * (state = 0) <= ?"
            " AND id != ? ORDER BY id LIMIT ?",
            (state, now, keep, _CHUNK - len(rows)),
        ):
            rows.append(_Row(*found))
            excess -= rows[-1].bytes
            if excess <= 0:
                break
    return len(rows), _remove(connection, rows)


def _remove(connection: sqlite3.Connection, rows: Sequence[_Row]) -> int:
    """Delete these batches and count them; return the unread exchanges among them."""
    if not rows:
        return 0
    ids = [(row.id,) for row in rows]
    connection.executemany("DELETE FROM payloads WHERE batch = ?", ids)
    connection.executemany("DELETE FROM batches WHERE id = ?", ids)
    unread = [row for row in rows if row.state == WAITING]
    lost = sum(row.n for row in unread)
    for row in unread:
        note(connection, row.created, lost=row.n)
    count(
        connection,
        Change(
            expired=lost,
            waiting=-lost,
            waiting_bytes=-sum(row.bytes for row in unread),
            kept_bytes=-sum(row.bytes for row in rows),
        ),
    )
    return lost
