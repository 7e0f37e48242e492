"""A verdict as people read it: the tier and the headline first, then reasons, then the numbers.

Law of this file: from values to rich renderables; it decides nothing and reads nothing else. Bars stand where people
would rather look than read; colour only repeats what a word says, so that nothing is lost without it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from monitor.commands.render_labels import label_details, label_line
from monitor.contract import Attribution, Interval, Shift, Signal, Tier, Verdict
from monitor.verdict.headline import in_words

STYLES = {
    Tier.LEARNING: "cyan",
    Tier.BLIND: "bright_black",
    Tier.OK: "green",
    Tier.IMPROVED: "blue",
    Tier.MINOR: "yellow",
    Tier.CRITICAL: "bold red",
}
_PIPE_WIDTH = 150
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_SHOWN_SHIFTS = 6
_SHOWN_EXEMPLARS = 2
_SHOWN_ANOMALIES = 3
# Signals without a worry that are shown below those with one.
_SHOWN_CALM = 4
# A signal's bar is full at this many times what chance shows.
_CHANCE_FULL = 4.0


def bar(share: float, width: int = 10) -> str:
    """Draw a share of `width` cells, in eighths."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def number(value: float | None) -> str:
    """Write a number with three significant digits; nothing where there is none."""
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def probability(value: float | None) -> str:
    """Write a probability; very small ones as a bound."""
    if value is None:
        return ""
    return "< 1e-12" if value < 1e-12 else f"{value:.2g}"


def moment(epoch_s: float | None) -> str:
    """Write a time of day with its date, in local time; nothing for no time."""
    if not epoch_s:
        return ""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(epoch_s))


def interval(limits: Interval | None) -> str:
    """Write an interval."""
    return f"[{number(limits[0])}, {number(limits[1])}]" if limits else ""


def verdict_lines(verdict: Verdict) -> Iterator[RenderableType]:
    """Render one verdict, most important first."""
    style = STYLES[verdict.tier]
    title = Text.assemble(("● ", style), (verdict.tier.value, style), f"  {verdict.route}/{verdict.arm}")
    if verdict.drifted:
        title.append(f"  {verdict.direction.value}, cause: {verdict.cause.value}")
    if verdict.since:
        title.append(f"  since {moment(verdict.since)}")
    yield title
    if verdict.headline:
        yield Padding(escape(verdict.headline), (0, 0, 0, 2), expand=False)
    for reason in verdict.reasons:
        yield Padding(f"· {escape(reason)}", (0, 0, 0, 2), expand=False)
    if verdict.progress is not None:
        yield Padding(
            f"{bar(verdict.progress.share, 30)} {in_words(verdict.progress)}", (0, 0, 0, 2), expand=False
        )
    if verdict.labels is not None:
        yield label_line(verdict.labels, STYLES[verdict.labels.tier])
    facts = [f"{name} {count}" for name, count in verdict.n.items()]
    facts += [f"baseline id {verdict.baseline}"] if verdict.baseline else []
    if facts:
        yield Padding(Text(f"exchanges: {', '.join(facts)}", style="dim"), (0, 0, 0, 2), expand=False)


def verdict_details(verdict: Verdict) -> Iterator[RenderableType]:
    """Render what explains a verdict."""
    if verdict.signals:
        yield signal_table(verdict.signals.items())
    if verdict.shifts:
        yield shift_table(verdict.shifts)
    if verdict.labels is not None:
        yield from label_details(verdict.labels)
    if verdict.attribution is not None:
        yield Padding(attribution_line(verdict.attribution), (0, 0, 0, 2), expand=False)
    for anomaly in verdict.anomalies[:_SHOWN_ANOMALIES]:
        words = f"unusual: {anomaly.id} (p {probability(anomaly.p_value)}), {'; '.join(anomaly.reasons)}"
        yield Padding(Text(words, style="dim"), (0, 0, 0, 2), expand=False)
    for caveat in verdict.caveats:
        yield Padding(Text(f"note: {caveat}", style="dim"), (0, 0, 0, 2), expand=False)


def whole_verdict(verdict: Verdict) -> Group:
    """Render a verdict with everything that explains it."""
    return Group(*verdict_lines(verdict), "", *verdict_details(verdict))


def terminal() -> Console:
    """Return where results go: as wide as the terminal, and wide enough for tables where there is none."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PIPE_WIDTH)


def signal_table(signals: Iterable[tuple[str, Signal]]) -> Table:
    """Render the signals, the most worrying first; the bar is the change against what chance alone shows."""
    ranked = sorted(
        signals, key=lambda pair: (-pair[1].tier.concern, 1.0 if pair[1].p_value is None else pair[1].p_value)
    )
    worrying = sum(signal.tier.concern > 0 for _, signal in ranked)
    shown = ranked[: worrying + _SHOWN_CALM]
    columns = _columns(signal for _, signal in shown)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, no_wrap=column in {"  signal", "tier", "against chance"})
    for name, signal in shown:
        cells = _cells(name, signal)
        table.add_row(*(cells[column] for column in columns))
    if len(ranked) > len(shown):
        table.add_row(
            f"  and {len(ranked) - len(shown)} more", Text("ok", style=STYLES[Tier.OK]), "(--json shows all)"
        )
    return table


def _columns(signals: Iterable[Signal]) -> list[str]:
    """Leave out what no signal has."""
    found = list(signals)
    p = ["p"] if any(signal.p_value is not None for signal in found) else []
    return ["  signal", "tier", "now", "baseline", "against chance", "effect, 95 %", *p]


def _cells(name: str, signal: Signal) -> dict[str, str | Text]:
    by_chance = (
        f"{number(signal.null_mean)} … {number(signal.null_high)} by chance" if signal.null_high else ""
    )
    return {
        "  signal": f"  {name}",
        "tier": Text(signal.tier.value, style=STYLES[signal.tier]),
        "now": f"{number(signal.value)} {signal.unit}".strip(),
        "baseline": by_chance if signal.baseline_mean is None else number(signal.baseline_mean),
        "against chance": _against_chance(signal),
        "effect, 95 %": f"{number(signal.effect)} {interval(signal.interval)}".strip(),
        "p": probability(signal.p_value),
    }


def _against_chance(signal: Signal) -> str:
    """Draw how many times the change is what chance shows in one of a thousand windows of this size."""
    change = signal.value if signal.baseline_mean is None else signal.effect
    if not signal.null_high or change is None:
        return ""
    times = abs(change) / signal.null_high
    return f"{bar(times / _CHANCE_FULL, 6)} {times:.1f} times"


def shift_table(shifts: Sequence[Shift]) -> Table:
    """Render what moved, from where to where, with the words of a cluster and examples."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("  what moved", "baseline", "window", "in words"):
        table.add_column(column)
    scale = max([1e-9, *(abs(x) for shift in shifts for x in (shift.baseline, shift.window))])
    for shift in shifts[:_SHOWN_SHIFTS]:
        words = Text(", ".join(shift.terms))
        for exemplar in shift.exemplars[:_SHOWN_EXEMPLARS]:
            words.append(f"\n“{_excerpt(exemplar.prompt)}”", style="italic dim")
        kind = shift.kind.replace("_", " ")
        table.add_row(
            f"  {escape(shift.name)}" if kind in shift.name else f"  {kind} {escape(shift.name)}",
            f"{bar(abs(shift.baseline) / scale, 6)} {number(shift.baseline)}",
            f"{bar(abs(shift.window) / scale, 6)} {number(shift.window)}",
            words,
        )
    if len(shifts) > _SHOWN_SHIFTS:
        table.add_row(f"  and {len(shifts) - _SHOWN_SHIFTS} more", "", "", "(--json shows all)")
    return table


def _excerpt(text: str, limit: int = 70) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def attribution_line(parts: Attribution) -> str:
    """Say where the reward change comes from."""
    named = (
        ("other questions", "mix", parts.mix),
        ("same questions answered differently", "behaviour", parts.behaviour),
        ("questions the baseline never saw", "unsupported", parts.unsupported),
    )
    return "reward change: " + "; ".join(
        f"{value:+.3g} {words}{f' {interval(parts.intervals[key])}' if key in parts.intervals else ''}"
        for words, key, value in named
    )
