"""What a stream would have raised, for people: a strip of tiers along the stream, the changes, the verdict at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from monitor.commands.render import STYLES, moment, terminal, whole_verdict
from monitor.contract import Tier

if TYPE_CHECKING:
    from monitor.offline.backtest import Alert, Backtest

_STRIP = 60
# One letter a tier, so that the strip can be read without colour.
_LETTERS = {
    Tier.LEARNING: "l",
    Tier.BLIND: "?",
    Tier.OK: "·",
    Tier.IMPROVED: "i",
    Tier.MINOR: "m",
    Tier.CRITICAL: "C",
}


def show_backtest(found: Backtest) -> None:
    """Print it on stdout."""
    console = terminal()
    changes = len(found.alerts)
    console.print(
        f"{found.exchanges} exchanges in {found.buckets} minutes with traffic: "
        f"{changes or 'no'} change{'' if changes == 1 else 's'} of verdict"
    )
    for name in dict.fromkeys((alert.route, alert.arm) for alert in found.alerts):
        own = [alert for alert in found.alerts if (alert.route, alert.arm) == name]
        console.print(Text.assemble(f"  {'/'.join(name)} ", strip(own, found.exchanges)))
    if found.alerts:
        console.print(f"  {_legend(found.alerts)}", style="dim")
        console.print(_table(found.alerts))
    console.print()
    console.print("At the end:")
    console.print(whole_verdict(found.final))


def strip(alerts: Sequence[Alert], exchanges: int, width: int = _STRIP) -> Text:
    """Draw the tiers along the stream, each cell the worst within it."""
    tiers = [Tier.OK] * width
    current, at = Tier.OK, 0
    for alert in (*alerts, None):
        end = width if alert is None else min(width - 1, alert.exchange * width // max(1, exchanges))
        for cell in range(at, end):
            tiers[cell] = max(tiers[cell], current, key=lambda tier: tier.concern)
        if alert is not None:
            current, at = alert.tier, end
            tiers[at] = max(tiers[at], current, key=lambda tier: tier.concern)
    return Text.assemble(*((_LETTERS[tier], STYLES[tier]) for tier in tiers))


def _legend(alerts: Sequence[Alert]) -> str:
    seen = dict.fromkeys([Tier.OK, *(alert.tier for alert in alerts)])
    return "  ".join(f"{_LETTERS[tier]} {tier}" for tier in seen)


def _table(alerts: Sequence[Alert]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("  after", "time", "route/arm", "tier", "drifted", "cause", "why"):
        table.add_column(column, justify="right" if column == "  after" else "left")
    for alert in alerts:
        table.add_row(
            str(alert.exchange),
            moment(alert.time) if alert.time > 86400 * 365 else f"minute {alert.time / 60:.0f}",
            f"{alert.route}/{alert.arm}",
            Text(alert.tier.value, style=STYLES[alert.tier]),
            "yes" if alert.drifted else "no",
            f"{alert.cause.value}, {alert.direction.value}" if alert.drifted else "",
            escape(alert.headline),
        )
    return table
