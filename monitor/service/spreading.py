"""Keeping what a route brings while its baseline is learnt: no more than is needed, evenly spread over that time.

Law of this file: what is kept lies on disk, cut into stretches (see `monitor/baseline/stretches.py`), and grows with
the size of the baseline, never with the traffic or the time. Exchanges let go are counted like all others and judged by
nobody: they came in the very time that the baseline stands for. What is too recent to fill a stretch is kept whole.
"""

from __future__ import annotations

from collections.abc import Sequence

from monitor.baseline.stretches import kept_stretches, stretch_length
from monitor.service.folding import learnable, lesson_of
from monitor.sketch.scored import Scored
from monitor.store import Store
from monitor.store.lessons import Lesson, Stored
from monitor.store.packed import joined, unpack

# Beyond what is wanted, so many stretches come in before any are let go, so that it is done now and then.
_SLACK = 4


def overfull(scored: int, wanted: int) -> bool:
    """Tell whether it is time to let some of so many exchanges go."""
    return scored >= wanted + _SLACK * stretch_length(wanted)


def spread(store: Store, route: str, wanted: int) -> None:
    """Let go what is not needed for `wanted` exchanges; less than a stretch too many stays. Raises Outdated."""
    length = stretch_length(wanted)
    heads = store.lessons.heads(route)
    sizes = {head.stretch: head.scored for head in heads if head.stretch is not None}
    # What another worker has brought since comes next time: cut now, it would stay beside its copy.
    uncut = {head.id for head in heads if head.stretch is None}
    fresh = [stored for stored in store.lessons.fresh(route) if stored.id in uncut]
    cut, rest = _cut(fresh, length, first=max(sizes, default=-1) + 1)
    sizes |= dict.fromkeys(cut, length)
    if not sizes:
        return
    kept = kept_stretches(sizes, wanted - (0 if rest is None else rest.scored))
    gone = [head.id for head in heads if head.stretch is None or head.stretch not in kept]
    added = [lesson for number, lesson in cut.items() if number in kept]
    store.lessons.replace(gone, added if rest is None else [*added, rest])


def _cut(fresh: Sequence[Stored], length: int, first: int) -> tuple[dict[int, Lesson], Lesson | None]:
    """Cut lessons into stretches numbered from `first` on, and what is left at the end."""
    if not fresh:
        return {}, None
    scored, one = joined([unpack(stored.lesson.body) for stored in fresh]), fresh[0].lesson
    parts = _parts(scored, length)
    stretches = {
        number: lesson_of(one.route, one.scorer, scored.take(rows), number)
        for number, rows in enumerate(parts[:-1], first)
    }
    return stretches, lesson_of(one.route, one.scorer, scored.take(parts[-1])) if parts[-1] else None


def _parts(scored: Scored, length: int) -> list[list[int]]:
    """Part the rows after every `length`-th that a baseline learns from; the last part has fewer, or nothing."""
    parts: list[list[int]] = [[]]
    have = 0
    for row, counts in enumerate(learnable(scored)):
        parts[-1].append(row)
        have += counts
        if counts and have % length == 0:
            parts.append([])
    return parts
