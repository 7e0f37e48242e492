"""What was measured last, section by section, kept between runs, and the page made of it.

Law: a section that is run again replaces itself and nothing else, so that the hours of the whole can be spent in
pieces; each states the sizes and the day it was run at. The page is written by this file alone, never by hand.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.detection.figures import Delays, Rate, Share, table

_HEAD = """# Detection, measured

Written by `make bench-detection DATA=../shared/data`; how each figure comes about stands in the docstrings of
`benchmarks/detection/`. What the figures mean, and what the detection does not see, is told in [detection](detection.md).
Texts are public data that the detection was developed on, so read this as a description, not as a promise. Intervals are
exact, at 95 %. Streams are drawn at ten exchanges a minute unless said; the budget is one false alarm in 30 days.
"""
_PLOTS = {
    "nulls": [("detection-nulls.svg", "False alarms in 30 days on unchanged traffic")],
    "drifts": [
        ("detection-delays.svg", "Exchanges from a change to its alarm"),
        ("detection-power.svg", "Share of runs with an alarm, by exchanges since a novel topic arrived"),
    ],
}
_ORDER = ("nulls", "drifts", "windows", "coverage", "capture", "peers")


class Kept:
    """Figures and written sections in a file."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "measured.json"
        self.found: dict[str, Any] = json.loads(self._path.read_text()) if self._path.exists() else {}

    def keep(self, section: str, said: str, parts: Sequence[tuple[str, str]], **figures: Any) -> None:
        """Keep what a section has found: its sizes in words, titled tables, and figures for others."""
        self.found |= figures
        self.found.setdefault("sections", {})[section] = {
            "said": f"{said} Run on {time.strftime('%Y-%m-%d')}.",
            "parts": [list(part) for part in parts],
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self.found))

    def page(self, images: Path | None) -> str:
        """Return the whole page."""
        lines = [_HEAD, "## Targets\n", targets(self.found)]
        for name in _ORDER:
            section = self.found.get("sections", {}).get(name)
            if section is None:
                continue
            lines += [f"## {_TITLES[name]}\n", section["said"], ""]
            for file, title in _PLOTS.get(name, []):
                if images and (images / file).exists():
                    lines += [f"![{title}](img/{file})", ""]
            for title, text in section["parts"]:
                lines += [f"### {title}\n" if title else "", text]
        return "\n".join(lines)


_TITLES = {
    "nulls": "Nothing changes",
    "drifts": "Something changes",
    "windows": "Two files",
    "coverage": "Intervals",
    "capture": "What the novelty gate catches",
    "peers": "Peers",
}


def targets(found: dict[str, Any]) -> str:
    """Return the table of targets: what must be, what is aimed at, what was measured."""
    rows = [
        *_null_targets(found.get("alarms")),
        *_delay_targets(found.get("delays", {}), found.get("horizons", {})),
        *_word_targets(found.get("sums", {})),
        *_window_targets(found.get("windows", {})),
        *_coverage_targets(found.get("coverage", {})),
        *_peer_targets(found.get("ratios")),
        *_fewer_targets(found.get("fewer")),
    ]
    return table(("figure", "must", "aim", "measured", "met"), rows)


Cells = tuple[str, str, str, str, str]


def _met(value: float, must: float, aim: float) -> str:
    return "aim" if value <= aim else "must" if value <= must else "no"


def _surely(share: Share, must: float, met: str, *, more: bool) -> str:
    """Return `open` where the interval reaches to both sides of what must be."""
    low, high = share.interval
    return "open" if low < must < high or (more and low == must) else met


def _null_targets(alarms: list[list[Any]] | None) -> list[Cells]:
    if not alarms:
        return []
    rates = {name: Rate(int(events), float(days)) for name, events, days in alarms}
    worst = max(rates, key=lambda name: rates[name].a_month)
    above = [name for name, rate in rates.items() if rate.a_month > 1.0]
    surely = all(rate.interval[1] <= 1.0 for rate in rates.values())
    met = "no" if any(rate.interval[0] > 1.0 for rate in rates.values()) else "aim" if surely else "open"
    said = f"{len(rates) - len(above)} of {len(rates)}; most: {worst}, {rates[worst]}"
    return [("false alarms in 30 days, nulls at 1 or fewer", "all", "all", said, met)]


# Titles of changes, and the most exchanges that their median delay must and should take.
_DELAYS: tuple[tuple[str, float, float], ...] = (
    ("novel topic, 5%", 4000, 900),
    ("novel topic, 10%", 1500, 350),
    ("novel topic, 20%", 500, 150),
    ("novel topic, 40%", 200, 80),
    ("reward -0.2 sd at fixed prompts, 100%", 1000, 400),
    ("reward -0.5 sd at fixed prompts, 100%", 200, 130),
    ("weaker model: GPT-4 0314 to GPT-3.5 0301, 100%", 200, 80),
    ("weaker model: Vicuna 7B to Falcon 7B, 100%", 200, 80),
    ("same model, verbose, 100%", 200, 100),
    ("same model, concise, 100%", 200, 100),
    ("same model, the longest of four answers, 100%", 200, 100),
    ("same model, the shortest of four answers, 100%", 200, 100),
)


def _delay_targets(delays: dict[str, list[float | None]], horizons: dict[str, float]) -> list[Cells]:
    rows = []
    for title, must, aim in _DELAYS:
        if title not in delays:
            continue
        horizon = horizons[title]
        found = Delays.of((horizon if d is None else d for d in delays[title]), horizon)
        missed = f", {found.missed} of {len(found.found)} missed" if found.missed else ""
        said = f"{found.write(0.5)}{missed}"
        rows.append(
            (
                f"{title}: median delay",
                f"{must:,.0f}",
                f"{aim:,.0f}",
                said,
                _met(found.quantile(0.5), must, aim),
            )
        )
    return rows


# Sums of `drifts`, the target for the share, and whether more is better.
_WORDS: tuple[tuple[str, float, float, bool], ...] = (
    ("known topics in other proportions: model blamed", 0.05, 0.01, False),
    ("better called worse, or worse better", 0.02, 0.005, False),
    ("cause right, of traffic, model, data quality, scorer, none", 0.85, 0.95, True),
)


def _word_targets(sums: dict[str, list[list[int]]]) -> list[Cells]:
    rows = []
    for name, must, aim, more in _WORDS:
        if name not in sums:
            continue
        at_once, later = (Share(*counts) for counts in sums[name])
        value, sign = at_once.value, ("≥" if more else "≤")
        met = _surely(at_once, must, _met(-value, -must, -aim) if more else _met(value, must, aim), more=more)
        said = f"{at_once} at the alarm, {later} an hour later"
        rows.append((name, f"{sign} {must:.0%}", f"{sign} {aim:.1%}", said, met))
    return rows


_WINDOWS: tuple[tuple[str, float, float, bool], ...] = (
    ("100 exchanges, all changed", 0.82, 0.93, True),
    ("400 exchanges, a quarter changed", 0.45, 0.65, True),
    ("100 exchanges, nothing changed", 0.01, 0.01, False),
    ("400 exchanges, nothing changed", 0.01, 0.01, False),
)


def _window_targets(windows: dict[str, list[int]]) -> list[Cells]:
    rows = []
    for name, must, aim, more in _WINDOWS:
        if name not in windows:
            continue
        share = Share(*windows[name])
        met = _met(-share.value, -must, -aim) if more else _met(share.value, must, aim)
        met = _surely(share, must, met, more=more)
        sign = "≥" if more else "≤"
        rows.append((f"`compare`: {name}", f"{sign} {must:.0%}", f"{sign} {aim:.0%}", str(share), met))
    return rows


def _coverage_targets(coverage: dict[str, list[int]]) -> list[Cells]:
    if not coverage:
        return []
    shares = {name: Share(*counts) for name, counts in coverage.items()}
    within = [
        name for name, share in shares.items() if share.interval[1] >= 0.93 and share.interval[0] <= 0.97
    ]
    others = ", ".join(f"{name} {shares[name].value:.1%}" for name in shares if name not in within)
    said = f"{len(within)} of {len(shares)} effects{f'; outside: {others}' if others else ''}"
    return [("coverage of 95 % intervals", "93-97 %", "93-97 %", said, "no" if others else "aim")]


def _peer_targets(ratios: dict[str, float] | None) -> list[Cells]:
    if not ratios:
        return []
    good = sum(ratio <= 0.8 for ratio in ratios.values())
    best = sum(ratio <= 0.5 for ratio in ratios.values())
    met = "aim" if best == len(ratios) else "must" if good >= 2 / 3 * len(ratios) else "no"
    said = f"≤ 0.8 on {good} of {len(ratios)}, ≤ 0.5 on {best}"
    return [("median delay against the best peer at our rate", "≤ 0.8 on 2/3", "≤ 0.5 on all", said, met)]


def _fewer_targets(fewer: float | None) -> list[Cells]:
    if fewer is None:
        return []
    said = f"-{fewer:.0%}"
    met = _met(-fewer, -0.70, -0.95)
    return [("false alarms against fixed thresholds at equal power", "-70 %", "-95 %", said, met)]
