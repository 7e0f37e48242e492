"""The verdicts in memory: fetched from the bus once a second by a thread, read by everybody else.

Law: a reader never waits and never fails. Whatever the bus does, the last verdicts stay; they say `blind` once they
are older than `stale_s`. The header's bytes are made once a second for each (route, arm), not for each response.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import structlog

from monitor.bus import Bus, BusError
from monitor.contract import Tier, Verdict
from monitor.contract.config import Config
from proxy.headers import drift_status, no_verdict

log = structlog.get_logger(__name__)

POLL_S = 1.0
Arm = tuple[str, str]


def stale_after(config: Config) -> float:
    """Return the age in seconds from which a verdict says `blind`: three evaluations, at least a minute."""
    return max(60.0, 3.0 * config.monitor.evaluate_every_s)


class VerdictBoard:
    """The verdicts as last seen, and their header lines."""

    def __init__(self, arms: Sequence[Arm], stale_s: float) -> None:
        self._arms = tuple(arms)
        self._stale_s = stale_s
        self.verdicts: tuple[Verdict, ...] = ()
        self._lines: dict[Arm, bytes] = {}
        self.refresh(0.0)

    def reconfigure(self, arms: Sequence[Arm], stale_s: float, now: float) -> None:
        """Speak of other arms from now on."""
        self._arms, self._stale_s = tuple(arms), stale_s
        self.refresh(now)

    def replace(self, verdicts: Sequence[Verdict]) -> None:
        """Take new verdicts over."""
        self.verdicts = tuple(verdicts)

    def refresh(self, now: float) -> None:
        """Make the header lines anew; called once a second by the serving loop, so that a hung bus ages them."""
        lines = {arm: no_verdict(*arm, Tier.LEARNING) for arm in self._arms}
        for verdict in self.verdicts:
            lines[verdict.route, verdict.arm] = drift_status(verdict, now, self._stale_s)
        self._lines = lines

    def line(self, arm: Arm) -> bytes:
        """Return the `Drift-Status` of a (route, arm)."""
        line = self._lines.get(arm)
        # A response that is on its way while its route is taken out of the configuration.
        return no_verdict(*arm, Tier.LEARNING) if line is None else line

    def current(self, now: float) -> list[Verdict]:
        """Return the verdicts with `blind` for those that are too old to be trusted."""
        return [self._aged(verdict, now) for verdict in self.verdicts]

    def _aged(self, verdict: Verdict, now: float) -> Verdict:
        if now - verdict.time <= self._stale_s or verdict.tier is Tier.BLIND:
            return verdict
        reason = f"the last verdict ({verdict.tier}) is {int(now - verdict.time)} s old"
        return Verdict(
            route=verdict.route,
            arm=verdict.arm,
            tier=Tier.BLIND,
            time=verdict.time,
            baseline=verdict.baseline,
            headline="The monitor is silent: " + reason + ".",
            reasons=(reason,),
        )


class VerdictPoller(threading.Thread):
    """The thread that fetches. `open_bus` is called in it."""

    def __init__(self, board: VerdictBoard, open_bus: Callable[[], Bus]) -> None:
        super().__init__(name="verdict-poller", daemon=True)
        self._board = board
        self._open_bus = open_bus
        self._stopping = threading.Event()
        self._bus: Bus | None = None
        self._version: int | None = None
        self._away = False

    def run(self) -> None:
        """Poll until stopped."""
        while not self._stopping.is_set():
            self.poll()
            self._stopping.wait(POLL_S)
        if self._bus is not None:
            self._bus.close()

    def poll(self) -> None:
        """Fetch the verdicts if there are new ones; a bus that is away is tried again next time."""
        try:
            if self._bus is None:
                self._bus = self._open_bus()
            if self._bus.verdict_version() != self._version:
                self._version, verdicts = self._bus.verdicts()
                # On a bus on which nobody has judged yet the last verdicts stay, and grow old.
                if self._version:
                    self._board.replace(verdicts)
            self._away = False
        except BusError as error:
            if not self._away:
                log.warning("bus is away, verdicts grow old", reason=str(error))
            self._away, self._version = True, None
            if self._bus is not None:
                self._bus.close()
                self._bus = None

    def stop(self, timeout_s: float = 2.0) -> None:
        """End the thread; a hung bus is left behind (the thread is a daemon)."""
        self._stopping.set()
        self.join(timeout_s)
