"""The counts that must match after every fault.

Law: received = mirrored + dropped by reason + pending; when nothing runs and the bus works, pending is 0, and the bus
holds as many exchanges as the proxy says that it has mirrored.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from monitor.bus import BusStats
from monitor.bus.sqlite import SqliteBus
from monitor.contract import Exchange
from tests.conformance.site import Site
from tests.conformance.wire import until

# Patience for a busy machine, and for the mirror's pauses of 5 s.
SETTLED_S = 40.0


def adds_up(mirror: dict[str, Any]) -> bool:
    """Tell whether everything received is mirrored, dropped or pending."""
    return bool(
        mirror["received"] == mirror["mirrored"] + sum(mirror["dropped"].values()) + mirror["pending"]
    )


def bus_stats(path: Path) -> BusStats:
    """Return the counters of a bus file."""
    bus = SqliteBus(path)
    try:
        return bus.stats()
    finally:
        bus.close()


def settled(site: Site) -> dict[str, Any]:
    """Wait until nothing runs and nothing waits, and return the mirror's counts."""

    def done() -> dict[str, Any] | None:
        status = site.status()
        mirror = status["mirror"]
        return None if status["requests"]["in_flight"] or mirror["pending"] else mirror

    mirror: dict[str, Any] = until(done, SETTLED_S)
    assert adds_up(mirror)
    return mirror


class Counted:
    """What a proxy has counted since this was made."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._before = settled(site)
        self._faults, self._left, self._seen = self._kept()

    def _kept(self) -> tuple[Counter[str], Counter[str], set[str]]:
        requests = self._site.settled()["requests"]
        return (
            Counter(requests["faults"]),
            Counter(requests["clients_left"]),
            set(self._site.exchanges()),
        )

    def check(self) -> dict[str, Any]:
        """Assert that the counts match, those of the bus included; return what is new of the mirror's."""
        mirror = settled(self._site)
        new = {name: mirror[name] - self._before[name] for name in ("received", "mirrored", "partial")}
        dropped = Counter(mirror["dropped"])
        dropped.subtract(self._before["dropped"])
        path = self._site.process.directory / "state" / "bus.sqlite" if self._site.process else Path()
        assert bus_stats(path).published == mirror["mirrored"]
        return {**new, "dropped": {reason: n for reason, n in dropped.items() if n}}

    def faults(self) -> dict[str, int]:
        """Return what is new of the proxy's own faults, by code."""
        return dict(self._kept()[0] - self._faults)

    def left(self) -> dict[str, int]:
        """Return the clients that have left since, by phase."""
        return dict(self._kept()[1] - self._left)

    def exchanges(self) -> list[Exchange]:
        """Return what is new on the bus, in the order of its ids."""
        self.check()
        found = self._site.exchanges()
        return [found[each] for each in sorted(found.keys() - self._seen)]
