"""What each route is compared with right now, and what stands in the way where it cannot be.

Law of this file: scores of two scorers are never compared. A baseline that cannot be used is a sentence for the
person on call, not an exception: its route is blind with that reason until another baseline is chosen.
"""

from __future__ import annotations

from typing import NamedTuple

from monitor.baseline import Baseline
from monitor.store import Store


class Reference(NamedTuple):
    """The active baseline of a route; `fault` says why it cannot be read."""

    id: str
    baseline: Baseline | None
    fault: str = ""


class References:
    """Reads baselines once and follows the choice of the active ones."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[str, str], Reference] = {}

    def now(self) -> dict[str, Reference]:
        """Return route -> what it is compared with."""
        active = self._store.baselines.active()
        self._known = {key: self._known.get(key) or self._load(*key) for key in active.items()}
        return {route: reference for (route, _), reference in self._known.items()}

    def _load(self, route: str, baseline_id: str) -> Reference:
        try:
            return Reference(baseline_id, self._store.baselines.get(route, baseline_id))
        except ValueError as error:
            return Reference(
                baseline_id, None, f"baseline {baseline_id} cannot be read ({error}); create a new one"
            )


def obstacle(reference: Reference, scorer: str | None) -> str | None:
    """Say why exchanges scored by `scorer` (None: not known yet) cannot be compared with this; None if they can."""
    if reference.baseline is None:
        return reference.fault
    if scorer is not None and reference.baseline.scorer != scorer:
        return (
            f"baseline {reference.id} was made with scorer {reference.baseline.scorer}, now scoring with {scorer};"
            " run `driftgate baseline create`"
        )
    return None
