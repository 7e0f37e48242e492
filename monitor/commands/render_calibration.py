"""A calibration, for people: what each budget would have cost, what noise does, what would be seen, what to paste."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
from rich.markup import escape
from rich.table import Table

from monitor.commands.render import moment, number, terminal

if TYPE_CHECKING:
    from monitor.contract.config import Detection
    from monitor.offline.calibrate import Calibration

_SHOWN_ALARMS = 5
_SEEN = {
    "reward_share": ("reward at equal questions", "{:.1%} of its mean"),
    "response": ("a feature of the answers", "{:.2f} standard deviations"),
    "novel_98": ("prompts that look new", "{:.1%} of all"),
    "refused": ("refusals", "+{:.1%} of answers"),
    "errors": ("errors", "+{:.1%} of exchanges"),
}


def show_calibration(found: Calibration) -> None:
    """Print it on stdout."""
    console = terminal()
    console.print(
        f"{found.exchanges} exchanges in {number(found.days)} days of traffic, {number(found.per_day)} a day; "
        f"{found.resamples} times half of {found.blocks} {found.block} against the others"
    )
    console.print()
    console.print(_rates(found))
    console.print(
        f"\nIn its own order the later half, {number(found.history_days)} days, would have raised "
        f"{found.history_alarms} alarm{'' if found.history_alarms == 1 else 's'} at {found.wanted:g} a month"
    )
    for raised in found.history[:_SHOWN_ALARMS]:
        console.print(
            f"  {moment(raised.time)}  after {raised.exchange}: {escape(raised.headline)}", style="dim"
        )
    console.print()
    console.print(_crossings(found))
    console.print(f"\nSeen within a day in about half of all cases, at {number(found.per_day)} exchanges:")
    for name, (title, how) in _SEEN.items():
        seen = found.seen_in_a_day.get(name)
        console.print(f"  {title}: {how.format(seen) if seen is not None else 'nothing'}")
    for remark in found.notes:
        console.print(f"note: {escape(remark)}", style="yellow")
    console.print("\nTo paste into the configuration:\n")
    console.print("\n".join(yaml_of(found.proposed)), markup=False, highlight=False)


def _rates(found: Calibration) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("", "budget a month", "alarms", "days", "in 30 days", "95 % interval"):
        table.add_column(column, justify="right" if column else "left")
    for rate in found.rates:
        mark = "●" if rate.budget == found.proposed.false_alarms_per_month else ""
        limits = f"{rate.low:.2f} to {rate.high:.2f}"
        table.add_row(
            mark, f"{rate.budget:g}", str(rate.alarms), number(rate.days), f"{rate.per_month:.2f}", limits
        )
    return table


def _crossings(found: Calibration) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("noise alone", "windows", "size: minor", "critical", "minor with evidence", "99 % point"):
        table.add_column(column, justify="left" if column == "noise alone" else "right")
    for row in found.crossings:
        evident = f"{row.evident_share:.1%} (at most {row.evident_high:.1%})"
        table.add_row(
            row.signal, str(row.windows), str(row.minor), str(row.critical), evident, number(row.noise)
        )
    return table


def yaml_of(detection: Detection) -> Iterator[str]:
    """Yield the lines of the configuration's section."""
    yield "detection:"
    for name in ("false_alarms_per_month", "window_hours", "min_window"):
        yield f"  {name}: {getattr(detection, name):g}"
    yield "  thresholds:"
    for name, value in msgspec.structs.asdict(detection.thresholds).items():
        yield f"    {name}: {value:g}"
