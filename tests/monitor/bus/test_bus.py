"""The promises of the protocol, held by every bus: in memory and in a SQLite file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.bus import Bus, Losses
from monitor.bus.memory import MemoryBus
from monitor.bus.sqlite import SqliteBus
from monitor.contract import Exchange, Tier, Verdict


def some(n: int, start: int = 0, text: str = "hello") -> list[Exchange]:
    """Make n exchanges with ids from `start` on."""
    return [
        Exchange(id=f"x{i}", time=float(i), prompt=f"{text} {i}", response="yes")
        for i in range(start, start + n)
    ]


@pytest.fixture(params=["memory", "sqlite"])
def bus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bus]:
    """Give each kind of bus in turn."""
    bus = small(request.param, tmp_path)
    yield bus
    bus.close()


def small(kind: str, folder: Path, retention_bytes: int = 1 << 30) -> Bus:
    """Open a bus that keeps batches for 1000 s."""
    if kind == "memory":
        return MemoryBus(retention_s=1000.0, retention_bytes=retention_bytes)
    return SqliteBus(folder / "bus.sqlite", retention_s=1000.0, retention_bytes=retention_bytes)


def test_what_goes_in_comes_out(bus: Bus):
    """A batch is fetched with the very exchanges that were published, under its own id."""
    first = bus.publish("p", some(3), now=10.0)
    second = bus.publish("p", some(2, start=3), now=11.0)
    assert second > first
    batches = bus.fetch("r", 100, now=12.0)
    assert [batch.id for batch in batches] == [first, second]
    assert [x for batch in batches for x in batch.exchanges] == some(5)


def test_a_leased_batch_is_nobody_elses(bus: Bus):
    """A second reader gets nothing until the lease lapses, and then the same batch."""
    batch_id = bus.publish("p", some(1), now=0.0)
    assert [b.id for b in bus.fetch("a", 10, now=0.0, lease_s=60.0)] == [batch_id]
    assert bus.fetch("b", 10, now=59.0) == []
    assert [b.id for b in bus.fetch("b", 10, now=60.0)] == [batch_id]


def test_release_frees_only_ones_own(bus: Bus):
    """An orderly stop returns what that reader held and leaves others' leases alone."""
    first, second = bus.publish("p", some(1), now=0.0), bus.publish("p", some(1), now=0.0)
    assert [b.id for b in bus.fetch("a", 1, now=1.0)] == [first]
    assert [b.id for b in bus.fetch("b", 1, now=1.0)] == [second]
    bus.release("a")
    assert [b.id for b in bus.fetch("c", 10, now=2.0)] == [first]


def test_acknowledged_batches_are_done(bus: Bus):
    """An acknowledged batch never returns, and acknowledging twice counts once."""
    batch_id = bus.publish("p", some(4), now=0.0)
    bus.fetch("a", 10, now=0.0)
    bus.ack([batch_id])
    bus.ack([batch_id, 999])
    assert bus.fetch("b", 10, now=1000.0) == []
    assert bus.stats().acknowledged == 4
    assert bus.stats().waiting == 0


def test_fetch_is_about_the_limit(bus: Bus):
    """Batches are taken whole: one at least, then as many as fit."""
    for _ in range(4):
        bus.publish("p", some(10), now=0.0)
    assert [len(b.exchanges) for b in bus.fetch("a", 5, now=0.0)] == [10]
    assert len(bus.fetch("a", 25, now=0.0)) == 2


def test_published_by_counts_each_producer(bus: Bus):
    """A producer asks how much it has ever committed; a stranger has committed nothing."""
    bus.publish("p1", some(3), now=0.0)
    bus.publish("p1", some(2), now=0.0)
    bus.publish("p2", some(1), now=0.0)
    assert [bus.published_by(p) for p in ("p1", "p2", "p3")] == [5, 1, 0]


def test_an_empty_batch_is_a_mistake(bus: Bus):
    """Publishing nothing is the caller's error and leaves no trace."""
    with pytest.raises(ValueError, match="at least one"):
        bus.publish("p", [], now=0.0)
    assert bus.stats().published == 0


def test_retention_by_age_counts_what_nobody_read(bus: Bus):
    """Old batches go; only the unread ones among them are counted as expired."""
    done = bus.publish("p", some(2), now=0.0)
    bus.publish("p", some(3), now=1.0)
    bus.publish("p", some(4), now=900.0)
    bus.fetch("a", 2, now=2.0, lease_s=1.0)
    bus.ack([done])
    assert bus.trim(now=1100.0) == 3
    stats = bus.stats()
    assert (stats.published, stats.acknowledged, stats.expired, stats.waiting) == (9, 2, 3, 4)
    assert stats.oldest_waiting == 900.0


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_retention_by_bytes_takes_the_acknowledged_first(kind: str, tmp_path: Path):
    """A younger batch that is done makes room before an older one that nobody has read."""
    text = "x" * 1000
    bus = small(kind, tmp_path, retention_bytes=4000)
    unread = bus.publish("p", some(1, text=text), now=0.0)
    done = bus.publish("p", some(1, text=text), now=0.0)
    bus.ack([done])
    for _ in range(2):
        bus.publish("p", some(1, text=text), now=1.0)
    bus.trim(now=1.0)
    assert bus.stats().expired == 0
    bus.publish("p", some(1, text=text), now=2.0)
    bus.trim(now=2.0)
    assert bus.stats().expired == 1
    assert unread not in [b.id for b in bus.fetch("a", 100, now=3.0)]
    bus.close()


def test_a_batch_in_work_is_not_removed(bus: Bus):
    """Retention leaves a batch alone while a reader holds its lease, so that nothing is both scored and expired."""
    batch_id = bus.publish("p", some(2), now=0.0)
    bus.fetch("a", 10, now=2000.0, lease_s=60.0)
    assert bus.trim(now=2001.0) == 0
    bus.ack([batch_id])
    assert bus.stats().acknowledged == 2
    assert bus.trim(now=2002.0) == 0


def test_a_past_period_can_be_read_again(bus: Bus):
    """Acknowledged batches stay readable by the time they were published."""
    for now in (10.0, 20.0, 30.0):
        bus.ack([bus.publish("p", some(1, start=int(now)), now=now)])
    assert [[x.id for x in batch] for batch in bus.kept(10.0, 30.0)] == [["x10"], ["x20"]]


def test_what_is_lost_is_counted_by_minute(bus: Bus):
    """Dropped exchanges count in the minute of their report, expired ones in the minute they were published in."""
    bus.publish("p", some(6), now=60.0)
    bus.publish("p", some(3), now=130.0)
    bus.report_dropped("proxy", 2, now=140.0)
    assert bus.losses(120.0) == Losses(offered=5, lost=2)
    assert bus.losses(0.0) == Losses(offered=11, lost=2)
    assert bus.trim(now=1100.0) == 6
    assert bus.losses(179.0) == Losses(offered=5, lost=2)
    assert bus.losses(0.0) == Losses(offered=11, lost=8)
    assert bus.losses(180.0) == Losses(offered=0, lost=0)
    assert bus.losses(0.0).share == 8 / 11
    assert bus.losses(180.0).share == 0.0


def test_a_report_is_a_total(bus: Bus):
    """Repeated or late it counts once; producers add up; one that begins anew is counted from there."""
    for producer, total in (("a", 5), ("a", 5), ("b", 1), ("a", 7), ("a", 2), ("a", 3)):
        bus.report_dropped(producer, total, now=60.0)
    assert bus.stats().dropped == 9
    assert bus.losses(60.0) == Losses(offered=9, lost=9)
    assert bus.stats().published == 0


def test_verdicts_are_replaced_and_versioned(bus: Bus):
    """The proxy sees the last verdicts and learns from the version alone that they changed."""
    assert bus.verdicts() == (0, [])
    first = [Verdict(route="default", arm="control", tier=Tier.OK, time=1.0)]
    second = [Verdict(route="default", arm="control", tier=Tier.CRITICAL, time=2.0)]
    bus.put_verdicts(first)
    assert bus.verdict_version() == 1
    assert bus.verdicts() == (1, first)
    bus.put_verdicts(second)
    assert bus.verdicts() == (2, second)


def test_counters_add_up(bus: Bus):
    """Published equals acknowledged, expired, damaged and waiting together, at every moment."""
    for i in range(10):
        batch_id = bus.publish("p", some(i + 1), now=float(i))
        if i % 3 == 0:
            bus.ack([batch_id])
        bus.trim(now=1005.0)
        stats = bus.stats()
        assert stats.published == stats.acknowledged + stats.expired + stats.damaged + stats.waiting


def test_each_bus_has_a_name_of_its_own(bus: Bus, tmp_path: Path):
    """Batch ids start anew in a new bus, so what is remembered of them is remembered with the bus's name."""
    other = SqliteBus(tmp_path / "other.sqlite")
    again = SqliteBus(tmp_path / "other.sqlite")
    assert bus.identity != other.identity == again.identity
    other.close()
    again.close()
