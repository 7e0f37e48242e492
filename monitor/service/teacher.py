"""When routes learn: the first baseline of each, once it has brought enough exchanges for long enough.

Law of this file: several workers may come to the same conclusion; whoever is slower finds the lessons gone and leaves
it at that. Exchanges that are too few for any baseline are no error: the route goes on learning.
"""

from __future__ import annotations

import structlog

from monitor.baseline import BaselineError
from monitor.contract.config import BaselineConfig
from monitor.service.learning import learn, sweep
from monitor.service.references import References
from monitor.service.spreading import overfull, spread
from monitor.store import Outdated, Store
from monitor.store.lessons import Learnt

_log = structlog.get_logger()


class Teacher:
    """Makes first baselines, and folds what routes brought after them."""

    def __init__(self, store: Store, settings: BaselineConfig, references: References) -> None:
        self._store = store
        self._settings = settings
        self._references = references
        # Routes whose exchanges were too few for a baseline, and how many a new attempt needs.
        self._retry_at: dict[str, int] = {}

    def learn_when_due(self, now: float) -> None:
        """Take each route as far as it goes. Raises StoreError."""
        for route, learnt in self._store.lessons.learnt().items():
            reference = self._references.now().get(route)
            try:
                if reference is None:
                    self._go_on(route, learnt, now)
                elif reference.baseline is not None:
                    sweep(self._store, reference.baseline)
            except Outdated as error:
                _log.info("another worker was faster", route=route, why=str(error))
            except BaselineError as error:
                self._retry_at[route] = again = 2 * self._wanted(route)
                _log.warning("no baseline yet", route=route, why=str(error), retry_at=again)

    def _go_on(self, route: str, learnt: Learnt, now: float) -> None:
        wanted, hours = self._wanted(route), self._settings.learning_hours
        due = learnt.scored >= wanted and learnt.hours >= hours
        if hours and (due or overfull(learnt.scored, wanted)):
            spread(self._store, route, wanted)
        if due:
            self._learn(route, now)

    def _wanted(self, route: str) -> int:
        return self._retry_at.get(route, self._settings.size)

    def _learn(self, route: str, now: float) -> None:
        baseline = learn(self._store, route, self._settings, now)
        if baseline is not None:
            made = {"baseline": baseline.id, "origin": "traffic", "size": baseline.size}
            _log.info("baseline made", route=route, **made)
            sweep(self._store, baseline)
