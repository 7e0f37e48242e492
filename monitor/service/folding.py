"""From judged batches to one piece of work for the ledger.

Law of this file: pure. A route with a baseline gets sketches, a route without one gets a lesson, and a route whose
baseline cannot be used gets neither; each exchange is counted exactly once whatever becomes of it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from math import isfinite
from types import MappingProxyType

from monitor.contract import Exchange, Verdict
from monitor.review.candidates import Offer, offers
from monitor.service.references import Reference, obstacle
from monitor.service.scoring import Judged, SkipReason, reason_not_to_score
from monitor.sketch.bucket import Bucket, BucketKey
from monitor.sketch.features import extract
from monitor.sketch.fold import fold_seen
from monitor.sketch.scored import Scored
from monitor.store import CounterKey, Lesson, Work
from monitor.store.feedback import Reward
from monitor.store.packed import pack

# The arm that baselines are learnt from.
CONTROL = "control"
NO_VERDICTS: Mapping[tuple[str, str], Verdict] = MappingProxyType({})


def take(judged: Judged, rows: Sequence[int]) -> Judged:
    """Return these rows, in this order."""
    if len(rows) == len(judged.scored.exchanges):
        return judged
    skipped = {new: judged.skipped[old] for new, old in enumerate(rows) if old in judged.skipped}
    return Judged(judged.scored.take(rows), judged.scorer, skipped)


def make_work(
    judged: Judged,
    references: Mapping[str, Reference],
    *,
    reviews_per_hour: int = 0,
    verdicts: Mapping[tuple[str, str], Verdict] = NO_VERDICTS,
) -> Work:
    """Make of judged exchanges what the ledger commits; whose batches they are is filled in by the caller.

    `verdicts`: the last one of each (route, arm); what they are about is offered for review more often.
    """
    deltas: dict[BucketKey, Bucket] = {}
    lessons: list[Lesson] = []
    reviews: list[Offer] = []
    counts: Counter[CounterKey] = Counter()
    by_route = _by_route(judged)
    for route, rows in by_route.items():
        part, reference = take(judged, rows), references.get(route)
        blocked = obstacle(reference, judged.scorer) if reference else None
        counts.update(_counts(part, "unusable_baseline" if blocked else None))
        if reference is None:
            lessons.append(lesson_of(route, part.scorer, part.scored))
        elif not blocked and reference.baseline is not None:
            features = extract(part.scored)
            seen = (features, reference.baseline.encode(part.scored, features))
            deltas.update(fold_seen(reference.baseline, part.scored, *seen))
            reviews += offers(
                reference.baseline, part.scored, seen, per_hour=reviews_per_hour, verdicts=verdicts
            )
    assumed = {route: references[route].id if route in references else None for route in by_route}
    return Work("", (), 0.0, assumed, deltas, lessons, counts, reviews, _rewards(judged))


def set_aside(exchanges: Sequence[Exchange], reason: SkipReason) -> Work:
    """Make of exchanges that cannot be worked on what the ledger commits: a count and nothing else."""
    return Work(
        "", (), 0.0, {}, {}, [], Counter(CounterKey(x.route, x.arm, f"skipped.{reason}") for x in exchanges)
    )


def lesson_of(route: str, scorer: str, scored: Scored, stretch: int | None = None) -> Lesson:
    """Make a lesson of scored exchanges of a route."""
    times = [x.time for x in scored.exchanges if x.arm == CONTROL and x.time > 0.0]
    since, until = (min(times), max(times)) if times else (None, None)
    return Lesson(route, scorer, sum(learnable(scored)), pack(scored), since, until, stretch)


def learnable(scored: Scored) -> list[bool]:
    """Tell of each row whether it counts for a baseline: scored, of the control arm."""
    return [
        exchange.arm == CONTROL and row not in scored.errors and reason_not_to_score(exchange) is None
        for row, exchange in enumerate(scored.exchanges)
    ]


def _rewards(judged: Judged) -> list[Reward]:
    """Return what feedback will look for: exchanges that were scored, with their routes and rewards."""
    rewards = judged.scored.reward.tolist()
    return [
        Reward(exchange.id, exchange.route, reward if isfinite(reward) else None)
        for row, (exchange, reward) in enumerate(zip(judged.scored.exchanges, rewards, strict=True))
        if row not in judged.skipped
    ]


def _by_route(judged: Judged) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = defaultdict(list)
    for row, exchange in enumerate(judged.scored.exchanges):
        rows[exchange.route].append(row)
    return rows


def _counts(judged: Judged, blocked: SkipReason | None) -> list[CounterKey]:
    """Return one key for each exchange; `blocked` is a reason for those that have none of their own."""
    reasons = (judged.skipped.get(row, blocked) for row in range(len(judged.scored.exchanges)))
    return [
        CounterKey(exchange.route, exchange.arm, f"skipped.{reason}" if reason else "scored")
        for exchange, reason in zip(judged.scored.exchanges, reasons, strict=True)
    ]
