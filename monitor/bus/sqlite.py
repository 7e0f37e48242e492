"""The bus in one SQLite file: several producer and several reader processes on one machine.

Law of this file: each method is one short transaction; encoding and decoding happen outside of it. A batch is
committed, leased and acknowledged as a whole, and stays in the file after its acknowledgement until the retention
removes it, so that a baseline can be made from a period that has passed. A payload that cannot be decoded is set
aside, counted and never served again; one written by a newer driftgate waits for a reader that understands it.
When the file is lost under it, `publish` goes on with the next one; every other call raises BusError once, because
what its caller knows is of the file before.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from monitor.bus import Batch, BusError, BusStats, Losses
from monitor.bus.bus_file import BusFile, BusReplaced
from monitor.bus.sqlite_minutes import forget, losses_since, note, report
from monitor.bus.sqlite_rows import (
    ACKNOWLEDGED,
    DAMAGED,
    FREE,
    Change,
    Lease,
    count,
    lease,
    payload,
    remove_beyond,
    remove_older,
    settle,
)
from monitor.contract import (
    SCHEMA_VERSION,
    Exchange,
    Verdict,
    decode_exchanges,
    decode_verdicts,
    encode_exchanges,
    encode_verdicts,
)


def _give_way() -> None:
    """Let a thread of this process that is ready to run go first.

    A proxy publishes from a thread beside the one that serves. On a busy core the kernel lets whoever runs finish its
    slice, a whole commit, unless it rests for a moment.
    """
    time.sleep(0)


class SqliteBus:
    """A bus file. One object belongs to one process and is used by one thread at a time."""

    def __init__(
        self,
        path: Path,
        *,
        retention_s: float = 72 * 3600.0,
        retention_bytes: int = 4 * 1024**3,
        busy_s: float = 5.0,
    ) -> None:
        self._path = path
        self._retention_s = retention_s
        self._retention_bytes = retention_bytes
        self._file = BusFile(path, busy_s)

    @property
    def identity(self) -> str:
        """Name of this very bus; another one when the file was lost (BusReplaced)."""
        return self._file.identity

    def publish(self, producer: str, exchanges: Sequence[Exchange], now: float) -> int:
        """Commit a batch durably and return its id; make room for it first where the file is full.

        Raises BusError (then nothing was committed) and ValueError for an empty batch.
        """
        if not exchanges:
            raise ValueError("a batch needs at least one exchange")
        body = encode_exchanges(exchanges)
        _give_way()
        head = (producer, len(exchanges), len(body), now, SCHEMA_VERSION)
        try:
            return self._insert(head, body)
        except BusReplaced:
            return self._insert(head, body)

    def _insert(self, head: tuple[str, int, int, float, int], body: bytes) -> int:
        producer, n, size, now, _ = head
        with self._file.writing() as connection:
            batch_id = connection.execute(
                "INSERT INTO batches (producer, n, bytes, created, encoding) VALUES (?, ?, ?, ?, ?)", head
            ).lastrowid
            assert batch_id is not None  # noqa: S101 - an INSERT always has one; for the type checker
            connection.execute("INSERT INTO payloads VALUES (?, ?)", (batch_id, body))
            connection.execute(
                "INSERT INTO producers VALUES (?, ?)"
                " ON CONFLICT (producer) DO UPDATE SET published = published + excluded.published",
                (producer, n),
            )
            count(connection, Change(published=n, waiting=n, waiting_bytes=size, kept_bytes=size))
            note(connection, now, offered=n)
            remove_beyond(connection, self._retention_bytes, now, keep=batch_id)
            _give_way()
        return batch_id

    def published_by(self, producer: str) -> int:
        """Count the exchanges that this producer has committed, ever."""
        found = self._file.row("SELECT published FROM producers WHERE producer = ?", (producer,))
        return int(found[0]) if found else 0

    def report_dropped(self, producer: str, total: int, now: float) -> None:
        """Note how many exchanges a producer has dropped, ever; what is new is lost in the minute of `now`."""
        with self._file.writing() as connection:
            report(connection, producer, total, now)

    def losses(self, since: float) -> Losses:
        """Count what was offered and lost from the minute of `since` on."""
        with self._file.reading() as connection:
            return losses_since(connection, since)

    def fetch(self, reader: str, limit: int, now: float, lease_s: float = 60.0) -> list[Batch]:
        """Lease the oldest free batches, about `limit` exchanges of them (one batch at least)."""
        if self._file.row(f"SELECT 1 {FREE} LIMIT 1", (now, SCHEMA_VERSION)) is None:
            return []  # idle readers do not take the write lock
        with self._file.writing() as connection:
            leased = lease(connection, Lease(reader, now, now + lease_s), limit)
        return self._decode(leased)

    def _decode(self, leased: Sequence[tuple[int, bytes]]) -> list[Batch]:
        batches, broken = [], []
        for batch_id, body in leased:
            try:
                batches.append(Batch(batch_id, decode_exchanges(body)))
            except msgspec.DecodeError:
                broken.append(batch_id)
        if broken:
            with self._file.writing() as connection:
                settle(connection, broken, DAMAGED)
        return batches

    def ack(self, batch_ids: Sequence[int]) -> None:
        """Declare batches done. Acknowledging twice is harmless."""
        if batch_ids:
            with self._file.writing() as connection:
                settle(connection, batch_ids, ACKNOWLEDGED)

    def release(self, reader: str) -> None:
        """Free what this reader has leased and not acknowledged."""
        with self._file.writing() as connection:
            connection.execute(
                "UPDATE batches SET lease_until = 0 WHERE state = 0 AND reader = ? AND lease_until > 0",
                (reader,),
            )

    def trim(self, now: float) -> int:
        """Apply the retention in short transactions; return how many unread exchanges were lost to it."""
        lost, removed = 0, 1
        while removed:
            with self._file.writing() as connection:
                old, old_lost = remove_older(connection, now - self._retention_s, now)
                big, big_lost = remove_beyond(connection, self._retention_bytes, now)
                forget(connection, now)
            removed, lost = old + big, lost + old_lost + big_lost
        return lost

    def kept(self, since: float, until: float) -> Iterator[list[Exchange]]:
        """Read again what is still in the file of the batches committed in [since, until); leases nothing."""
        last = 0
        period = "SELECT id FROM batches WHERE id > ? AND created >= ? AND created < ? AND state != 2 ORDER BY id LIMIT 1"
        while found := self._file.row(period, (last, since, until)):
            last = int(found[0])
            with self._file.reading() as connection:
                body = payload(connection, last)
            try:
                yield decode_exchanges(body)
            except msgspec.DecodeError:
                continue  # `fetch` is the one that counts it; a removed batch is simply not there any more

    def put_verdicts(self, verdicts: Sequence[Verdict]) -> None:
        """Replace the published verdicts."""
        body = encode_verdicts(verdicts)
        with self._file.writing() as connection:
            connection.execute("UPDATE verdicts SET version = version + 1, payload = ?", (body,))

    def verdicts(self) -> tuple[int, list[Verdict]]:
        """Return the published verdicts and their version. Raises BusError where they cannot be read."""
        version, body = self._file.one("SELECT version, payload FROM verdicts")
        try:
            return int(version), decode_verdicts(body)
        except msgspec.DecodeError as error:
            raise BusError(f"{self._path}: the published verdicts cannot be read ({error})") from error

    def verdict_version(self) -> int:
        """Return that version alone."""
        return int(self._file.one("SELECT version FROM verdicts")[0])

    def stats(self) -> BusStats:
        """Collect the counters; the cost does not grow with the file."""
        row = self._file.one(
            "SELECT published, acknowledged, expired, damaged, waiting, waiting_bytes,"
            " (SELECT min(created) FROM batches WHERE state = 0), dropped FROM counters"
        )
        return BusStats(*row)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
