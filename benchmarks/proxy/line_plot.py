"""Lines over time as an SVG, one small panel below the other; for a few hundred points and nothing else.

Law: a string in, a string out. Every panel starts at zero, so that what is flat looks flat.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH, PANEL, LEFT, RIGHT, TOP, BOTTOM = 760, 130, 60, 130, 26, 34
COLOURS = ("#1f5fa8", "#c2571a", "#3a7d34", "#7b4ea3")


class Line(NamedTuple):
    """One series of a panel."""

    name: str
    values: Sequence[float]


class Panel(NamedTuple):
    """Series that share a scale; `title` names the unit."""

    title: str
    lines: Sequence[Line]


def draw(times: Sequence[float], unit: str, panels: Sequence[Panel]) -> str:
    """Draw all panels over the same times."""
    height = len(panels) * (PANEL + TOP) + BOTTOM
    body = [_panel(times, panel, TOP + at * (PANEL + TOP)) for at, panel in enumerate(panels)]
    bottom = height - BOTTOM
    marks = []
    for value in ticks(times[-1]):
        x = _x(value, times[-1])
        marks.append(_text(x, bottom + 16, f"{value:g}", "middle"))
    marks.append(_text(WIDTH - RIGHT + 8, bottom + 16, unit, "start"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="11" fill="#333"><rect width="{WIDTH}" height="{height}" fill="#fff"/>\n'
        + "\n".join([*body, *marks])
        + "\n</svg>\n"
    )


def ticks(top: float, wanted: int = 5) -> list[float]:
    """Return round numbers from 0 to `top`, about so many."""
    raw = max(top, 1e-9) / wanted
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * n for n in (1, 2, 5, 10) if unit * n >= raw * 0.999)
    return [step * n for n in range(int(top / step + 1e-9) + 1)]


def _panel(times: Sequence[float], panel: Panel, top: float) -> str:
    highest = max([*(max(line.values) for line in panel.lines), 1e-9]) * 1.1
    floor = top + PANEL
    parts = [_text(LEFT, top - 8, panel.title, "start", 'font-weight="bold"')]
    for value in ticks(highest, 4):
        y = floor - value / highest * PANEL
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(_text(LEFT - 6, y + 4, f"{value:g}", "end"))
    for at, (line, colour) in enumerate(zip(panel.lines, COLOURS, strict=False)):
        points = " ".join(
            f"{_x(when, times[-1]):.1f},{floor - value / highest * PANEL:.1f}"
            for when, value in zip(times, line.values, strict=True)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.4"/>')
        parts.append(_text(WIDTH - RIGHT + 8, top + 12 + 14 * at, line.name, "start", f'fill="{colour}"'))
    return "\n".join(parts)


def _x(when: float, last: float) -> float:
    return LEFT + when / last * (WIDTH - LEFT - RIGHT)


def _text(x: float, y: float, words: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(words)}</text>'
