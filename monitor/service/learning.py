"""Making baselines: from what a route has brought, from a file, or from a period that the bus still holds.

Law of this file: a baseline is made of the control arm only, and of whole exchanges in the order they came. What a
route brought after its baseline's exchanges is folded against that baseline, so that nothing is lost between learning
and judging.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from monitor.baseline import Baseline, build_baseline
from monitor.bus import Bus
from monitor.contract import Exchange
from monitor.contract.config import BaselineConfig
from monitor.evidence.rescoring import choose_anchors
from monitor.offline.exchange_file import read_exchanges
from monitor.scorer import Scorer
from monitor.service.folding import CONTROL, learnable
from monitor.service.scoring import score_exchanges
from monitor.sketch.bucket import Bucket, BucketKey
from monitor.sketch.fold import fold
from monitor.sketch.scored import Scored
from monitor.store import Lesson, Store
from monitor.store.packed import joined, pack, unpack

# Left-over lessons folded in one transaction.
_SWEPT_AT_ONCE = 16


class Source(NamedTuple):
    """What a baseline is made of: exchanges of one route, and in words where they are from."""

    route: str
    exchanges: Sequence[Exchange]
    origin: str


def learn(store: Store, route: str, settings: BaselineConfig, now: float) -> Baseline | None:
    """Make the first baseline of a route from its lessons: all of them where they were to cover a time.

    Returns None when another worker has made it. Raises BaselineError and Outdated.
    """
    size = sys.maxsize if settings.learning_hours else settings.size
    used, have = [], 0
    for stored in store.lessons.of(route):
        used.append(stored)
        have += stored.lesson.scored
        if have >= size:
            break
    scored, scorer = joined([unpack(stored.lesson.body) for stored in used]), used[0].lesson.scorer
    first, rest = _part(scored, size)
    baseline = build_baseline(scored.take(first), route=route, scorer=scorer, settings=settings, created=now)
    store.anchors.put(route, baseline.id, choose_anchors(scored.take(first)))
    left = Lesson(route, scorer, 0, pack(scored.take(rest))) if rest else None
    if not store.baselines.add_learnt(baseline, [stored.id for stored in used], left):
        return None
    return baseline


def _part(scored: Scored, size: int) -> tuple[list[int], list[int]]:
    """Part the rows in those up to the `size`-th that a baseline learns from, and the others."""
    first, rest, have = [], [], 0
    for row, counts in enumerate(learnable(scored)):
        if scored.exchanges[row].arm != CONTROL or have >= size:
            rest.append(row)
            continue
        first.append(row)
        have += counts
    return first, rest


def sweep(store: Store, baseline: Baseline) -> None:
    """Fold the lessons that a route has left over from the time before its baseline. Raises Outdated."""
    while stored := store.lessons.of(baseline.route, _SWEPT_AT_ONCE):
        deltas: dict[BucketKey, Bucket] = {}
        for lesson in (row.lesson for row in stored):
            folded = fold(baseline, unpack(lesson.body)) if lesson.scorer == baseline.scorer else {}
            for key, bucket in folded.items():
                deltas[key] = deltas[key].merge(bucket) if key in deltas else bucket
        store.ledger.sweep(baseline.route, baseline.id, [row.id for row in stored], deltas)


def create(store: Store, scorer: Scorer, source: Source, settings: BaselineConfig, now: float) -> Baseline:
    """Score exchanges, make a baseline of them and compare their route with it from now on.

    Raises BaselineError, ScorerUnavailable and StoreError; then nothing was changed.
    """
    judged = score_exchanges(scorer, source.exchanges, batch=256)
    baseline = build_baseline(
        judged.scored, route=source.route, scorer=judged.scorer, settings=settings, created=now
    )
    store.anchors.put(source.route, baseline.id, choose_anchors(judged.scored))
    store.baselines.add(baseline, source.origin)
    return baseline


def file_sources(
    path: str | Path, routes: Sequence[str], on_skipped: Callable[[str], None] = lambda _: None
) -> list[Source]:
    """Read a file of exchanges as the source of a baseline for each route.

    A file that names no route serves all of them. `on_skipped` is told in one line of lines that could not be used.
    Raises ExchangeFileError.
    """
    exchanges, report = read_exchanges(path)
    if report.first_skipped is not None:
        on_skipped(f"{path}: {report.in_words}")
    control = [exchange for exchange in exchanges if exchange.arm == CONTROL]
    named = {exchange.route for exchange in control}
    sources = []
    for route in routes:
        own = control if named <= {"default"} else [x for x in control if x.route == route]
        if own:
            sources.append(Source(route, own, f"file {path}"))
    return sources


def period_source(bus: Bus, route: str, period: tuple[float, float], size: int) -> Source:
    """Take `size` exchanges of a route, evenly spread, from those the bus holds of [since, until) epoch seconds.

    Raises ValueError where there is none.
    """
    since, until = period
    n = sum(1 for _ in _of_period(bus, route, since, until))
    if n == 0:
        raise ValueError(f"the bus holds no exchange of route {route!r} in that period")
    wanted = min(n, size)
    chosen = [
        exchange
        for i, exchange in enumerate(_of_period(bus, route, since, until))
        if (i + 1) * wanted // n > i * wanted // n
    ]
    return Source(route, chosen, f"period {since:.0f} to {until:.0f}")


def _of_period(bus: Bus, route: str, since: float, until: float) -> Iterator[Exchange]:
    for batch in bus.kept(since, until):
        for exchange in batch:
            if exchange.route == route and exchange.arm == CONTROL:
                yield exchange
