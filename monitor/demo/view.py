"""What the demo shows: lines that stay, and under them, on a terminal, a panel that moves.

Law of this file: it prints what it is given. Without a terminal (CI, a pipe) the same lines come without the panel,
and a sign of life every few seconds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import NamedTuple, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.rule import Rule
from rich.text import Text

from monitor.commands.render import STYLES, bar, verdict_lines
from monitor.contract import Verdict

_SIGN_OF_LIFE_S = 10.0


class Now(NamedTuple):
    """What the panel shows."""

    seconds_left: float
    sent: int
    failed: int
    per_second: float
    verdicts: Mapping[str, Verdict]


class View:
    """The demo's terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = (
            Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        )
        self._last_sign = 0.0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, *lines: RenderableType) -> None:
        """Print lines that stay."""
        for line in lines:
            self._console.print(line, soft_wrap=isinstance(line, str))

    def act(self, title: str) -> None:
        """Announce an act."""
        self.say("", Text(f"━━ {title}", style="bold"))

    def verdict_changed(self, verdict: Verdict) -> None:
        """Print a verdict that is a new one."""
        self.say(Group(*verdict_lines(verdict)))

    def response_head(self, head: str) -> None:
        """Print the head of a real response, its Drift headers marked."""
        self.say(Text("  a response now carries:", style="dim"))
        for line in head.splitlines():
            self.say(Text(f"    {line}", style="bold" if line.lower().startswith("drift-") else "dim"))

    def update(self, now: Now) -> None:
        """Move the panel, or give a sign of life."""
        if self._live is not None:
            self._live.update(_panel(now))
        elif time.monotonic() - self._last_sign >= _SIGN_OF_LIFE_S:
            self._last_sign = time.monotonic()
            tiers = ", ".join(f"{route} {verdict.tier}" for route, verdict in sorted(now.verdicts.items()))
            self.say(
                f"  … {now.sent} exchanges sent, {now.per_second:.0f} a second; {tiers or 'no verdict yet'}"
            )


def _panel(now: Now) -> Group:
    lines: list[RenderableType] = [Rule(style="dim")]
    for route, verdict in sorted(now.verdicts.items()):
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append("● ", STYLES[verdict.tier]).append(f"{route:<9}")
        line.append(f"{verdict.tier.value:<9}", STYLES[verdict.tier])
        if verdict.progress is not None:
            line.append(f" {bar(verdict.progress.share, 20)}")
            line.append(f" {verdict.progress.have} of {verdict.progress.need}")
        else:
            line.append(f" {verdict.headline}")
        lines.append(line)
    failed = f", {now.failed} failed" if now.failed else ""
    lines.append(
        Text(
            f"{now.sent} exchanges{failed}, {now.per_second:.0f} a second; {now.seconds_left:.0f} s left for this act",
            style="dim",
        )
    )
    return Group(*lines)
