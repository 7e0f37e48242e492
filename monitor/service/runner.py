"""The loop of the monitor: work while there is any, judge every few seconds, keep house.

Law of this file: nothing that fails ends the loop. It notes the trouble, pauses, and goes on judging meanwhile, which
is how verdicts become `blind`. Only what a person must put right before the monitor can ever work is `fatal`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import structlog

from monitor.baseline import BaselineError
from monitor.bus import BusError
from monitor.scorer import ScorerUnavailable
from monitor.service.canaries import Canaries
from monitor.service.evaluation import Evaluator
from monitor.service.health import Health
from monitor.service.learning import Source, create
from monitor.service.pipeline import Parts, Pipeline
from monitor.service.references import References
from monitor.service.rescoring import Watch
from monitor.service.teacher import Teacher
from monitor.store import StoreError

_log = structlog.get_logger()

_IDLE_S = 0.2
_HOUSEKEEPING_S = 60.0
# Pauses after trouble, in seconds: the first one, doubled each time up to the last.
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.25, 5.0


class Runner:
    """The loop; `run` returns soon after `stop` is set.

    `sources`: baselines to make before anything else. `prompts`: what canaries ask, where any are configured.
    """

    def __init__(
        self,
        name: str,
        parts: Parts,
        health: Health,
        sources: Sequence[Source] = (),
        prompts: Sequence[str] = (),
    ) -> None:
        self.stop = threading.Event()
        self._parts = parts
        self._health = health
        self._sources = list(sources)
        self._references = References(parts.store)
        self._teacher = Teacher(parts.store, parts.config.baseline, self._references)
        self._pipeline = Pipeline(name, parts, self._references)
        watch = Watch(
            parts.store,
            self._pipeline.ask,
            every_s=parts.config.scoring.recheck_every_s,
            on_identity=self._identified,
        )
        ask = self._pipeline.ask
        self._canaries = Canaries(parts.config, prompts, parts.store, ask, lambda: health.scorer)
        self._evaluator = Evaluator(
            parts.config, parts.store, parts.bus, self._references, health, watch, self._canaries
        )
        self._pause_s = 0.0
        self._paused_until = 0.0
        self._judged_at: float | None = None

    def _identified(self, scorer: str) -> None:
        self._health.scorer = scorer

    def run(self) -> None:
        """Work until stopped; then finish what is in hand and give leases back."""
        while not self.stop.is_set() and not self._health.fatal:
            self._health.turned_at = self._parts.clock()
            self._attempt("judging", self._judge_when_due)
            self._attempt("canaries", self._canaries_in_turn)
            busy = self._parts.clock() >= self._paused_until and self._attempt("work", self._work)
            if not busy:
                self.stop.wait(_IDLE_S)
        self._canaries.close()
        self._attempt("stopping", self._drain)
        self._pipeline.close()

    def _canaries_in_turn(self) -> bool:
        self._canaries.step(self._parts.clock())
        self._recovered("canaries")
        return False

    def _attempt(self, name: str, step: Callable[[], bool]) -> bool:
        """Take a step; where it fails note why. The one place that survives anything."""
        try:
            return step()
        except ScorerUnavailable as error:
            self._troubled(name, f"scorer unavailable: {error}")
        except (BusError, StoreError) as error:
            self._troubled(name, str(error))
        except Exception as error:  # noqa: BLE001 - a fault of ours must not stop everything else
            self._health.faults += 1
            _log.exception("a step failed", step=name)
            # Not what it says: that may quote a user's words, and everybody may read the status.
            self._troubled(name, f"{type(error).__name__}, a fault of ours; the log says where")
        return False

    def _troubled(self, name: str, why: str) -> None:
        now = self._parts.clock()
        if self._health.troubled(name, why, now):
            _log.warning("no progress", step=name, why=why)
        if name == "work":
            self._pause_s = min(max(_FIRST_PAUSE_S, 2.0 * self._pause_s), _LAST_PAUSE_S)
            self._paused_until = now + self._pause_s

    def _recovered(self, name: str) -> None:
        if self._health.recovered(name):
            _log.info("going on again", step=name)

    def _work(self) -> bool:
        """Take one turn; return whether there may be more to do at once."""
        self._make_first_baselines()
        finished = self._pipeline.turn()
        self._health.scorer = self._pipeline.scorer_seen or self._health.scorer
        if finished == 0:
            return True  # a lot has been begun: whether it goes through is not known yet
        self._pause_s = 0.0
        self._recovered("work")
        if finished is None:
            return False
        self._health.worked_at = self._parts.clock()
        self._teacher.learn_when_due(self._parts.clock())
        return True

    def _drain(self) -> bool:
        self._pipeline.drain()
        return False

    def _judge_when_due(self) -> bool:
        now, every = self._parts.clock(), self._parts.config.monitor.evaluate_every_s
        if self._judged_at is not None and 0.0 <= now - self._judged_at < every:
            return False
        self._judged_at = now
        ledger = self._parts.store.ledger
        if ledger.take_turn("evaluate", now, 0.9 * every):
            self._teacher.learn_when_due(now)
            begun = time.perf_counter()
            self._evaluator.evaluate(now)
            self._health.evaluation_s = time.perf_counter() - begun
        self._health.evaluated_at = now
        if self._pipeline.settled and ledger.take_turn("keep house", now, _HOUSEKEEPING_S):
            self._keep_house(now)
        self._recovered("judging")
        return False

    def _keep_house(self, now: float) -> None:
        before = now - self._parts.config.monitor.retention_days * 86400.0
        self._parts.store.arms.forget(before)
        self._parts.store.feedback.forget(before)
        self._parts.store.labels.forget(before)
        self._parts.store.verdicts.forget(before)
        self._parts.store.reviews.forget(now - self._parts.config.review.retention_days * 86400.0)
        self._parts.store.ledger.forget(now)
        if lost := self._parts.bus.trim(now):
            _log.warning("unread exchanges were lost to the bus's retention", exchanges=lost)

    def _make_first_baselines(self) -> None:
        """Make the baselines that the configuration takes from a file. Raises ScorerUnavailable."""
        parts = self._parts
        while self._sources and not self._health.fatal:
            source = self._sources[0]
            try:
                baseline = create(parts.store, parts.scorer, source, parts.config.baseline, parts.clock())
            except BaselineError as error:
                self._health.fatal = f"baseline of route {source.route!r} from {source.origin}: {error}"
                return
            self._sources.pop(0)
            self._health.scorer = baseline.scorer
            _log.info("baseline made", route=source.route, baseline=baseline.id, origin=source.origin)
