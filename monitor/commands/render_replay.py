"""What a replay did, as a table for people or a document for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from monitor.commands.document import print_document

if TYPE_CHECKING:
    from monitor.traffic.audit import Line
    from monitor.traffic.replay import Sent


def show_replay(sent: Sent, lines: Sequence[Line], *, as_json: bool) -> None:
    """Print the outcome on stdout."""
    if as_json:
        counts = [{**msgspec.structs.asdict(line), "fits": line.fits} for line in lines]
        document = {
            **sent._asdict(),
            "answered": sent.answered,
            "per_second": sent.per_second,
            "counts": counts,
        }
        print_document(document)
        return
    from rich.table import Table

    from monitor.commands.render import terminal

    console = terminal()
    console.print(
        f"{sent.answered} of {sent.requests} requests answered in {sent.seconds:.1f} s: {sent.per_second:.0f} a second"
    )
    for status, count in sorted(sent.statuses.items()):
        console.print(f"  HTTP {status}: {count}")
    for kind, count in sorted(sent.failures.items()):
        console.print(f"  {kind}: {count}", style="red")
    if sent.last_status:
        console.print(f"  last Drift-Status: {sent.last_status}", markup=False)
    if lines:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for column in ("count", "left", "right", "", "made of"):
            table.add_column(column, justify="right" if column in {"left", "right"} else "left")
        for line in lines:
            fits = "[green]fits[/]" if line.fits else "[bold red]DIFFERS[/]"
            table.add_row(line.stage, str(line.left), str(line.right), fits, line.detail)
        console.print(table)
