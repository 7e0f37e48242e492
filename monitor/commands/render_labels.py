"""Labels as people read them: one line beside a verdict, and a table of what moved."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from monitor.contract import Annotator, Labels, Tier


def label_line(labels: Labels, style: str) -> RenderableType:
    """Render the tier and the headline."""
    words = labels.headline.removeprefix("labels: ")
    title = Text.assemble("labels ", (labels.tier.value, style), f"  {words}")
    if labels.drifted:
        title.append(f"  (cause: {labels.cause.value})")
    return Padding(title, (0, 0, 0, 2), expand=False)


def label_details(labels: Labels) -> Iterator[RenderableType]:
    """Render what explains a verdict on labels."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("  of labels", "before", "now", "tier", ""):
        table.add_column(column, justify="right" if column in {"before", "now"} else "left")
    for name, signal in labels.signals.items():
        tier = signal.tier.value if signal.tier is not Tier.OK else ""
        table.add_row(
            f"  {name}", _three(signal.baseline_mean), _three(signal.window_mean), tier, escape(signal.note)
        )
    if labels.signals:
        yield table
    for row in labels.annotators:
        if row.moved:
            yield Padding(Text(annotator_words(row), style="dim"), (0, 0, 0, 2), expand=False)
    for caveat in labels.caveats:
        yield Padding(Text(f"note: {caveat}", style="dim"), (0, 0, 0, 2), expand=False)


def annotator_words(row: Annotator) -> str:
    """Say how an annotator did before and since."""
    right = "right" if row.against == "gold" else "with the others"
    before = "new" if row.baseline is None else f"{row.baseline:.0%} before"
    now = "none" if row.window is None else f"{row.window:.0%}"
    return f"{row.name}: {right} in {now} of {row.n} ({before})"


def _three(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
