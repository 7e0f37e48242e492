"""Watching the scorer: stored exchanges are scored again, now and then, and at once when something seems to have drifted.

Law of this file: a drift is never blamed on the model before the scorer was looked at. A look costs one scoring request
of a few dozen exchanges and nothing of the model; it goes through the scorer's own thread, and whoever judges waits for
it a moment at most. Where no look succeeds the last one stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from typing import NamedTuple

import structlog

from monitor.baseline import Baseline
from monitor.evidence.rescoring import FIRST_LOOK, Noise, ScorerChange, change_of, compare_anchors
from monitor.scorer import ScorerUnavailable, Scores
from monitor.store import Store
from monitor.store.anchors import Look

_log = structlog.get_logger()

# Seconds between looks while something has drifted or the scorer is known to have changed.
_SUSPICIOUS_S = 600.0
# Seconds that judging waits for a look, and after which one that failed is tried again.
_PATIENCE_S, _RETRY_S = 3.0, 60.0


class Answer(NamedTuple):
    """Scores and the identity of what gave them."""

    scorer: str
    scores: Scores


# Scores texts on the scorer's thread.
Ask = Callable[[Sequence[str], Sequence[str | None]], "Future[Answer]"]
Key = tuple[str, str]


class Watch:
    """Knows of each baseline whether the scorer is still the one that it was made with."""

    def __init__(
        self, store: Store, ask: Ask, *, every_s: float, on_identity: Callable[[str], None] = lambda _: None
    ) -> None:
        """Take seconds between looks, and who is told what the scorer calls itself."""
        self._store = store
        self._ask = ask
        self._every_s = every_s
        self._on_identity = on_identity
        self._waiting: dict[Key, Future[Answer]] = {}
        self._suspected: set[Key] = set()
        self._failed_at: dict[Key, float] = {}

    def known(self, baseline: Baseline) -> ScorerChange | None:
        """Return what the last look found, without looking."""
        look = self._store.anchors.look(baseline.route, baseline.id)
        return change_of(look.found) if look else None

    def change(self, baseline: Baseline, now: float, *, suspicious: bool) -> ScorerChange | None:
        """Return how the scorer has changed since the baseline; look first where that is due."""
        key = (baseline.route, baseline.id)
        fresh = suspicious and key not in self._suspected
        self._suspected = self._suspected | {key} if suspicious else self._suspected - {key}
        last = self._store.anchors.look(*key)
        if key not in self._waiting and (fresh or self._is_due(key, last, now, suspicious=suspicious)):
            self._begin(key)
        if key in self._waiting:
            declared = self._finish(key, baseline, now, patience_s=_PATIENCE_S if suspicious else 0.0)
            if declared is not None:
                return declared
        return self.known(baseline)

    def _is_due(self, key: Key, last: Look | None, now: float, *, suspicious: bool) -> bool:
        if now - self._failed_at.get(key, -_RETRY_S) < _RETRY_S:
            return False
        if last is None:
            return True
        doubtful = suspicious or change_of(last.found) is not None
        return not 0.0 <= now - last.at < (min(_SUSPICIOUS_S, self._every_s) if doubtful else self._every_s)

    def _begin(self, key: Key) -> None:
        anchors = self._store.anchors.get(*key)
        if anchors is not None and anchors.prompts:
            self._waiting[key] = self._ask(anchors.prompts, anchors.responses)

    def _finish(self, key: Key, baseline: Baseline, now: float, *, patience_s: float) -> ScorerChange | None:
        """Take in a look that is done; return the change that the scorer itself declares."""
        looking = self._waiting.pop(key)
        try:
            answer = looking.result(patience_s)
        except NotYet:
            self._waiting[key] = looking
            return None
        except ScorerUnavailable as error:
            self._failed_at[key] = now
            _log.warning("the scorer could not be looked at", route=key[0], why=str(error))
            return None
        self._on_identity(answer.scorer)
        if answer.scorer != baseline.scorer:
            said = f"the baseline was scored by {baseline.scorer}, now {answer.scorer} answers"
            return ScorerChange(reward=True, embedding=True, said=said)
        self._compare(key, answer.scores, now)
        return None

    def _compare(self, key: Key, scores: Scores, now: float) -> None:
        anchors, last = self._store.anchors.get(*key), self._store.anchors.look(*key)
        if anchors is None:
            return
        found = compare_anchors(
            anchors, scores.prompt, scores.response, scores.reward, last.noise if last else FIRST_LOOK
        )
        changed, before = change_of(found), change_of(last.found) if last else None
        noise = last.noise if last else Noise() if changed else found.noise
        self._store.anchors.save_look(*key, Look(now, noise, found))
        if (changed is None) != (before is None):
            told = {"route": key[0], "baseline": key[1], "said": changed.said if changed else ""}
            _log.warning("the scorer changed" if changed else "the scorer is as it was", **told)
