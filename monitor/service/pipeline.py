"""The pipeline: fetch, score, fold, commit, acknowledge.

Law of this file: a batch is acknowledged on the bus only after the ledger holds it, and whatever fails before that
leaves it on the bus. While one lot of batches is being folded and committed, the next is being scored on a thread of
its own. A batch that fails for reasons nobody foresaw is tried alone; when it goes on failing it is set aside and
counted (`skipped.fault`), so that it does not hold up the others for ever.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from monitor.bus import Batch, Bus, BusError
from monitor.contract import Exchange, Verdict
from monitor.contract.config import Config
from monitor.scorer import Scorer, ScorerUnavailable
from monitor.service.folding import make_work, set_aside, take
from monitor.service.references import References
from monitor.service.rescoring import Answer
from monitor.service.scoring import Judged, score_exchanges
from monitor.store import Outdated, Store, StoreError, Work

_log = structlog.get_logger()

# What may go wrong outside of this process; none of it is a batch's fault.
OUTSIDE = (ScorerUnavailable, BusError, StoreError)
# Times that a batch may fail for reasons nobody foresaw.
_CHANCES = 3


@dataclass(frozen=True)
class Parts:
    """What the monitor works with; opened and closed by whoever starts it."""

    config: Config
    bus: Bus
    store: Store
    scorer: Scorer
    clock: Callable[[], float] = time.time


class _Lot(NamedTuple):
    """Batches in work, of which bus, and until when they are ours; `judged` is None where they are to be set aside."""

    bus: str
    batches: list[Batch]
    lease_until: float
    judged: Future[Judged] | None


class Pipeline:
    """Exactly once from the bus to the store; `name` is the reader that leases are held by."""

    def __init__(self, name: str, parts: Parts, references: References) -> None:
        self.scorer_seen: str | None = None
        self._name = name
        self._parts = parts
        self._references = references
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="scorer")
        self._ahead: _Lot | None = None
        self._failures: Counter[int] = Counter()
        self._settled = False
        self._begun = False

    def turn(self) -> int | None:
        """Begin with the next lot and finish the one before.

        Returns the exchanges that are done with, None where there was nothing to do. Raises what is in OUTSIDE, and
        whatever a batch provokes; then all leases have been given back.
        """
        done = self._ahead
        self._ahead = None
        try:
            self._settle()
            self._ahead = self._start(nothing_held=done is None)
            finished = 0 if done is None else self._finish(done)
        except BaseException as error:
            self._give_back(done, blame=not isinstance(error, OUTSIDE))
            raise
        return None if done is None and self._ahead is None else finished

    def ask(self, prompts: Sequence[str], responses: Sequence[str | None]) -> Future[Answer]:
        """Score texts that are not on the bus, on the scorer's thread."""
        scorer = self._parts.scorer

        def score() -> Answer:
            scores = scorer.score(prompts, responses)
            return Answer(scorer.identity, scores)

        return self._pool.submit(score)

    def drain(self) -> None:
        """Finish what is being scored and give the rest back."""
        done, self._ahead = self._ahead, None
        try:
            if done is not None:
                self._finish(done)
        finally:
            self._parts.bus.release(self._name)

    def close(self) -> None:
        """Stop the scoring thread once it is through."""
        self._pool.shutdown(cancel_futures=True)

    @property
    def settled(self) -> bool:
        """Tell whether everything committed has been acknowledged, so that the ledger may forget the oldest."""
        return self._settled

    def _settle(self) -> None:
        """Acknowledge what a crash, or a bus that failed, has left committed; free what died with this name."""
        if not self._begun:
            self._parts.bus.release(self._name)
            self._begun = True
        if not self._settled:
            self._parts.bus.ack(self._parts.store.ledger.all_recorded(self._parts.bus.identity))
            self._settled = True

    def _start(self, *, nothing_held: bool) -> _Lot | None:
        now, scoring = self._parts.clock(), self._parts.config.scoring
        lease_s = 2.0 * scoring.deadline_s + 60.0
        limit = 1 if self._failures else 2 * scoring.batch
        batches = self._parts.bus.fetch(self._name, limit, now, lease_s)
        if not batches:
            return None
        if nothing_held and batches[0].id not in self._failures:
            self._failures.clear()  # those would come first: others have dealt with them
        if any(self._failures[batch.id] >= _CHANCES for batch in batches):
            return _Lot(self._parts.bus.identity, batches, now + lease_s, None)
        judged = self._pool.submit(score_exchanges, self._parts.scorer, _exchanges(batches), scoring.batch)
        return _Lot(self._parts.bus.identity, batches, now + lease_s, judged)

    def _finish(self, lot: _Lot) -> int:
        judged = lot.judged.result() if lot.judged is not None else None
        if judged is not None:
            self.scorer_seen = judged.scorer
        if lot.bus != self._parts.bus.identity:
            # Counted as lost already, with all that waited there; here their ids are other batches'.
            raise BusError("the bus that these batches came from is gone")
        committed = self._commit(lot, judged)
        try:
            self._parts.bus.ack(committed)
        except BusError:
            self._settled = False
            raise
        for batch_id in committed:
            del self._failures[batch_id]
        return len(_exchanges(lot.batches))

    def _commit(self, lot: _Lot, judged: Judged | None) -> list[int]:
        """Put a lot into the ledger; return those of its batches that are in it now."""
        ledger, bus = self._parts.store.ledger, lot.bus
        while True:
            recorded = ledger.recorded(bus, [batch.id for batch in lot.batches])
            left = [batch for batch in lot.batches if batch.id not in recorded]
            if not left or self._parts.clock() >= lot.lease_until:
                return sorted(recorded)  # what is not recorded and not ours any more is somebody else's
            work = self._work(lot, judged, recorded)
            ids = [batch.id for batch in left]
            try:
                ledger.commit(
                    work._replace(bus=bus, batch_ids=ids, lease_until=lot.lease_until), self._parts.clock
                )
            except Outdated as error:
                _log.info("folding again", why=str(error))

    def _work(self, lot: _Lot, judged: Judged | None, without: Collection[int]) -> Work:
        if judged is None:
            return set_aside(_exchanges([batch for batch in lot.batches if batch.id not in without]), "fault")
        part = take(judged, _rows(lot.batches, without))
        per_hour = self._parts.config.review.per_hour
        return make_work(
            part,
            self._references.now(),
            reviews_per_hour=per_hour,
            verdicts=self._verdicts(part) if per_hour else {},
        )

    def _verdicts(self, part: Judged) -> dict[tuple[str, str], Verdict]:
        """Return the last verdict of each (route, arm) among these exchanges."""
        last = self._parts.store.verdicts.last
        keys = {(exchange.route, exchange.arm) for exchange in part.scored.exchanges}
        return {key: verdict for key in keys if (verdict := last(*key)) is not None}

    def _give_back(self, done: _Lot | None, *, blame: bool) -> None:
        """Drop what is in hand and free its leases; where a batch is to blame remember whose turn it was."""
        if self._ahead is not None and self._ahead.judged is not None:
            self._ahead.judged.cancel()
        self._ahead = None
        if blame and done is not None:
            self._failures.update(batch.id for batch in done.batches)
        try:
            self._parts.bus.release(self._name)
        except BusError as error:
            _log.warning("leases are left to run out", why=str(error))


def _exchanges(batches: list[Batch]) -> list[Exchange]:
    return [exchange for batch in batches for exchange in batch.exchanges]


def _rows(batches: list[Batch], without: Collection[int]) -> list[int]:
    """Return the rows, among all exchanges of these batches, of those that are not in `without`."""
    rows: list[int] = []
    start = 0
    for batch in batches:
        if batch.id not in without:
            rows += range(start, start + len(batch.exchanges))
        start += len(batch.exchanges)
    return rows
