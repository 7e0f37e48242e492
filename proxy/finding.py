"""Finding and replacing in texts of any length: in windows, none of which holds the interpreter for long.

Law: what is found does not depend on where a window ends, and the time is linear in the text. A rule's `head` is a
pattern whose matches are shorter than its `reach`, by which windows overlap; matches that begin in the overlap are the
next window's. Whatever a secret has beyond its head, which may be any length, `measure` follows window by window.
Nothing is tried twice: `measure` reads only what it then takes, or remembers what it has read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

# Characters that one call into the regular expressions may go through: less than a millisecond in the most hostile texts
# that we know, which are the units of tests/proxy/test_redact.py.
WINDOW = 4 * 1024
# Longer than the head of any ready-made rule and what it looks at behind itself.
REACH = 128

# Of a text and a head found in it: where to go on, and whether what lies before is to be replaced.
Measure = Callable[[str, re.Match[str]], tuple[int, bool]]


def as_found(_: str, found: re.Match[str]) -> tuple[int, bool]:
    """Measure what is a secret as far as its head goes."""
    return found.end(), True


class Rule(NamedTuple):
    """What to replace by `mark`. `measuring` makes a new measure for each text, so that it may remember."""

    mark: str
    head: re.Pattern[str]
    measuring: Callable[[], Measure] = lambda: as_found
    window: int = WINDOW
    reach: int = REACH


def always(_: str) -> bool:
    """Say of any text that there may be something."""
    return True


def replaced(text: str, rule: Rule, possible: Callable[[str], bool] = always) -> str:
    """Return the text with a mark for whatever the rule finds. A window of which `possible` says no is not searched."""
    mark, head, measuring, window, reach = rule
    measure, search = measuring(), head.search
    parts: list[str] = []
    size, kept, at = len(text), 0, 0
    while at < size:
        stop = at + window
        end = stop + reach
        if possible(text[at:end]):
            while (found := search(text, at, end)) is not None and found.start() < stop:
                at, secret = measure(text, found)
                if secret:
                    parts += (text[kept : found.start()], mark)
                    kept = at
        at = max(at, stop)
    return "".join((*parts, text[kept:])) if parts else text


def run_end(run: re.Pattern[str], text: str, at: int) -> int:
    """Follow a pattern that repeats a set of characters possessively, and may match nothing, to its end."""
    while True:
        end, most = at, at + WINDOW
        found = run.match(text, at, most)
        if found is not None:
            end = found.end()
        if end < most:
            return end
        at = end
