"""After a replay: whether the counts of every stage fit together, to the exchange.

Law of this file: pure. It knows where each process tells its counts (`/-/status` of proxy and monitor) and what must
be equal: sent = answered, received = mirrored + dropped by reason, mirrored = scored + skipped by reason + waiting (+ what
the bus lost to retention or damage).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from monitor.traffic.replay import Sent


class ProxyCounts(msgspec.Struct, frozen=True):
    """Exchanges since the state directory began, over all workers, dead ones included."""

    received: int
    mirrored: int
    pending: int
    dropped: dict[str, int] = {}


class BusCounts(msgspec.Struct, frozen=True):
    """Exchanges on the bus that nobody has read yet, or ever will."""

    waiting: int
    expired: int
    damaged: int


class MonitorCounts(msgspec.Struct, frozen=True):
    """Exchanges since the state directory began: what the monitor made of those on the bus."""

    scored: int
    skipped: dict[str, int]
    bus: BusCounts

    @property
    def parts(self) -> dict[str, int]:
        """What every mirrored exchange has become, by name."""
        bus = {"waiting": self.bus.waiting, "expired": self.bus.expired, "damaged": self.bus.damaged}
        return {"scored": self.scored, **bus, **self.skipped}


class Counts(NamedTuple):
    """Both sides of the bus."""

    proxy: ProxyCounts
    monitor: MonitorCounts

    @property
    def settled(self) -> bool:
        """Whether nothing is on its way any more."""
        return self.proxy.pending == 0 and self.monitor.bus.waiting == 0


class _ProxyStatus(msgspec.Struct):
    mirror: ProxyCounts


class Line(msgspec.Struct, frozen=True):
    """One comparison: two sides that must be equal, and what they are made of."""

    stage: str
    left: int
    right: int
    detail: str

    @property
    def fits(self) -> bool:
        """Whether they are."""
        return self.left == self.right


def read_counts(proxy_status: bytes, monitor_status: bytes) -> Counts:
    """Read the counts out of both `/-/status`. Raises ValueError when they are not there."""
    try:
        proxy = msgspec.json.decode(proxy_status, type=_ProxyStatus).mirror
        return Counts(proxy, msgspec.json.decode(monitor_status, type=MonitorCounts))
    except msgspec.MsgspecError as error:
        raise ValueError(f"/-/status does not hold the counts: {error}") from None


def audit(sent: Sent, received_before: int, after: Counts) -> tuple[Line, ...]:
    """Compare the counts of client, proxy and monitor."""
    proxy, monitor = after
    dropped = sum(proxy.dropped.values())
    return (
        Line("sent = answered", sent.requests, sent.answered, _terms(sent.failures)),
        Line(
            "received by the proxy = sent",
            proxy.received - received_before,
            sent.requests,
            _difference(sent.requests - (proxy.received - received_before)),
        ),
        Line(
            "received = mirrored + dropped + pending",
            proxy.received,
            proxy.mirrored + dropped + proxy.pending,
            _terms({"mirrored": proxy.mirrored, "pending": proxy.pending, **proxy.dropped}),
        ),
        Line(
            "mirrored = scored + skipped + waiting",
            proxy.mirrored,
            sum(monitor.parts.values()),
            _terms(monitor.parts),
        ),
    )


def _difference(missing: int) -> str:
    if missing > 0:
        return f"{missing} failed before the proxy took them in"
    return "other clients used the proxy meanwhile" if missing else ""


def _terms(counts: Mapping[str, int]) -> str:
    return " + ".join(f"{count} {name}" for name, count in counts.items() if count)
