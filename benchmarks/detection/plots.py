"""Plots as SVG, drawn by hand: no library, no colour that a reader must tell apart, text that scales."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from benchmarks.detection.drifts import HORIZON, Cell
from benchmarks.detection.nulls import Counted
from monitor.contract import Cause

_LABELS, _WIDTH, _ROW, _TOP, _FOOT = 330, 860, 18, 34, 40
_INKS = ("#1b4f72", "#2e86c1", "#239b56", "#b9770e", "#a93226", "#6c3483")


class Bar(NamedTuple):
    """A row: its label, and where its interval begins, its point lies and its interval ends."""

    label: str
    low: float
    at: float
    high: float


def save(path: Path, svg: str) -> None:
    """Write a plot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(svg, encoding="utf-8")


def nulls(counted: Sequence[Counted]) -> str:
    """Draw false alarms in 30 days with their intervals, and the promise as a line."""
    bars = [Bar(c.null.title, *_around(c)) for c in counted]
    return ranges(bars, "False alarms in 30 days, 95 % interval (line: the promise)", (0.01, 300.0), 1.0)


def _around(c: Counted) -> tuple[float, float, float]:
    low, high = c.alarms.interval
    return low, c.alarms.a_month, high


def delays(cells: Sequence[Cell]) -> str:
    """Draw the delay of every change: tenth, half and nine tenths of the runs."""
    bars = [
        Bar(cell.change.title, *(_reached(cell, q) for q in (0.1, 0.5, 0.9)))
        for cell in cells
        if cell.change.cause is not Cause.NONE
    ]
    title = "Exchanges from the change to the alarm: median, and 10 % to 90 % of the runs (line: not found)"
    return ranges(bars, title, (10.0, HORIZON * 1.2), HORIZON)


def _reached(cell: Cell, q: float) -> float:
    """Return a quantile of the delays; a miss is put at the one line of all misses."""
    delay = cell.delays.quantile(q)
    return delay if delay < cell.horizon else HORIZON


def power(cells: Sequence[Cell]) -> str:
    """Draw the share of runs that have raised an alarm by a number of exchanges, for abrupt novel topics."""
    curves = {
        cell.change.title: [(n, cell.delays.power(n)) for n in _GRID]
        for cell in cells
        if cell.change.name == "novel topic" and not cell.change.gradual
    }
    return lines(curves, "Share of runs with an alarm, by exchanges since a novel topic arrived")


_GRID = [10.0 * 10 ** (i / 12) for i in range(45) if 10.0 * 10 ** (i / 12) <= HORIZON]


def ranges(bars: Sequence[Bar], title: str, span: tuple[float, float], line: float) -> str:
    """Draw rows with a point and an interval over a logarithmic axis, and one upright line."""
    height = _TOP + _ROW * len(bars) + _FOOT
    parts = [_text(8, 18, title, bold=True), *_axis(span, height)]
    x = _place(line, span)
    parts.append(_line((x, _TOP), (x, height - _FOOT), "#a93226", 1.2))
    for i, bar in enumerate(bars):
        y = _TOP + _ROW * (i + 0.5)
        left, at, right = (_place(value, span) for value in (bar.low, bar.at, bar.high))
        parts += [
            _text(_LABELS - 8, y + 4, bar.label, anchor="end"),
            _line((left, y), (right, y), _INKS[0], 2.0),
            f'<circle cx="{at:.1f}" cy="{y:.1f}" r="3.4" fill="{_INKS[0]}"/>',
        ]
    return _svg(parts, height)


def lines(curves: dict[str, list[tuple[float, float]]], title: str) -> str:
    """Draw curves from 0 to 1 over a logarithmic axis, each labelled at its side."""
    height, span = 320, (_GRID[0], _GRID[-1])
    parts = [_text(8, 18, title, bold=True), *_axis(span, height)]
    tall = height - _TOP - _FOOT
    for k, share in enumerate((0.0, 0.25, 0.5, 0.75, 1.0)):
        y = height - _FOOT - tall * share
        parts += [_line((_LABELS, y), (_WIDTH - 16, y), "#dddddd", 0.8)] * (k > 0)
        parts.append(_text(_LABELS - 8, y + 4, f"{share:.0%}", anchor="end"))
    for ink, (label, points) in zip(_INKS, curves.items(), strict=False):
        path = " ".join(f"{_place(x, span):.1f},{height - _FOOT - tall * y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{ink}" stroke-width="2"/>')
        row = _TOP + 20 + _ROW * list(curves).index(label)
        parts += [_line((12, row - 4), (34, row - 4), ink, 2.0), _text(40, row, label)]
    return _svg(parts, height)


def _axis(span: tuple[float, float], height: float) -> list[str]:
    parts = [_line((_LABELS, height - _FOOT), (_WIDTH - 16, height - _FOOT), "#555555", 1.0)]
    for power in range(math.ceil(math.log10(span[0])), math.floor(math.log10(span[1])) + 1):
        x = _place(10.0**power, span)
        parts += [
            _line((x, _TOP), (x, height - _FOOT), "#dddddd", 0.8),
            _text(x, height - _FOOT + 16, f"{10.0**power:,g}", anchor="middle"),
        ]
    return parts


def _place(value: float, span: tuple[float, float]) -> float:
    low, high = math.log(span[0]), math.log(span[1])
    share = (math.log(min(max(value, span[0]), span[1])) - low) / (high - low)
    return _LABELS + share * (_WIDTH - 16 - _LABELS)


def _line(start: tuple[float, float], end: tuple[float, float], ink: str, width: float) -> str:
    places = f'x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"'
    return f'<line {places} stroke="{ink}" stroke-width="{width}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'


def _svg(parts: Sequence[str], height: float) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" '
        f'font-size="11" fill="#222222">\n<rect width="100%" height="100%" fill="#ffffff"/>\n{body}\n</svg>\n'
    )
