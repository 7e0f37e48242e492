"""Verdicts in memory: fresh, stale, and with the bus away."""

from __future__ import annotations

from monitor.bus import Bus, BusError
from monitor.bus.memory import MemoryBus
from monitor.contract import Tier, Verdict
from proxy.verdicts import VerdictBoard, VerdictPoller

ARM = ("default", "control")


def verdict(tier: Tier, time: float) -> Verdict:
    """Make a verdict."""
    return Verdict(route="default", arm="control", tier=tier, time=time)


def test_from_learning_to_a_verdict_to_blind() -> None:
    """Before any verdict `learning`; then the verdict; once it is too old `blind`, in header and document."""
    bus, board = MemoryBus(), VerdictBoard([ARM], 60.0)
    poller = VerdictPoller(board, lambda: bus)
    poller.poll()
    assert board.line(ARM).startswith(b"learning;")
    bus.put_verdicts([verdict(Tier.MINOR, 99.0)])
    poller.poll()
    board.refresh(100.0)
    assert board.line(ARM).startswith(b"minor;")
    board.refresh(200.0)
    assert board.line(ARM).startswith(b"blind;")
    (shown,) = board.current(200.0)
    assert (shown.tier, "101 s old" in shown.headline) == (Tier.BLIND, True)


def test_a_bus_that_is_away_leaves_the_last_verdict() -> None:
    """Polling never raises, and picks up again."""
    bus, board, away = MemoryBus(), VerdictBoard([ARM], 60.0), [False]
    bus.put_verdicts([verdict(Tier.OK, 100.0)])

    def open_bus() -> Bus:
        if away[0]:
            raise BusError("gone")
        return bus

    class Failing(MemoryBus):
        def verdict_version(self) -> int:
            raise BusError("gone")

    poller = VerdictPoller(board, open_bus)
    poller.poll()
    poller._bus, away[0] = Failing(), True
    poller.poll()
    poller.poll()
    assert [found.tier for found in board.current(100.0)] == [Tier.OK]
    away[0] = False
    bus.put_verdicts([verdict(Tier.CRITICAL, 101.0)])
    poller.poll()
    assert [found.tier for found in board.current(101.0)] == [Tier.CRITICAL]


def test_an_arm_that_is_taken_out_while_a_response_is_on_its_way_still_has_a_line() -> None:
    """It claims nothing; the arms of the new configuration have theirs at once."""
    board = VerdictBoard([ARM], 60.0)
    board.replace([verdict(Tier.CRITICAL, 100.0)])
    board.reconfigure([("other", "control")], 60.0, 100.0)
    assert board.line(("other", "control")) == b'learning;route="other";arm=control'
    assert board.line(("third", "control")) == b'learning;route="third";arm=control'


def test_a_bus_that_is_new_leaves_the_last_verdict() -> None:
    """Where the bus's file was lost nobody has judged on its successor yet: what was said stays until somebody has."""
    board, buses = VerdictBoard([ARM], 60.0), [MemoryBus()]
    poller = VerdictPoller(board, lambda: buses[-1])
    buses[0].put_verdicts([verdict(Tier.MINOR, 100.0)])
    poller.poll()
    buses.append(MemoryBus())
    poller._bus = buses[-1]
    poller.poll()
    assert [found.tier for found in board.current(100.0)] == [Tier.MINOR]
    buses[-1].put_verdicts([])
    poller.poll()
    assert board.current(100.0) == []
