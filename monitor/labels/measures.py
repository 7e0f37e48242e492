"""How much moved: the signals of two sets of label events, before and after.

Law of this file: pure, effect only; whether it is noise is asked elsewhere. Shares of right labels are standardised to
the classes of the later items, so that harder items are not taken for worse annotators. Intervals of differences of
shares are Agresti & Caffo's (2000), that of alpha a block jackknife.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from monitor.contract import Interval, Signal, Tier
from monitor.labels.coincidence import Coincidence, jackknife, merged, numeric
from monitor.labels.judgement import Event, Kind, Scheme, order

# Signals that are shares of right comparisons, and the kind of event they are of.
SHARES: dict[str, Kind] = {
    "gold_accuracy": "gold",
    "peer_agreement": "peer",
    "self_consistency": "self",
    "reward_agreement": "reward",
}
_FEWEST = 8
# What the note of a shift of labels ends with, where better and worse labels are known.
LOWER, HIGHER = ", lower", ", higher"


class Side(NamedTuple):
    """Events of one time or file, and coincidences of its items in blocks of different items."""

    events: Sequence[Event]
    blocks: Sequence[Coincidence] = ()

    def of(self, kind: Kind, *, echo: bool = False) -> list[Event]:
        """Return the events of a kind, with the earlier annotators' side of them only where asked for."""
        return [event for event in self.events if event.kind == kind and (echo or not event.echo)]


def measure(scheme: Scheme, before: Side, after: Side) -> dict[str, Signal]:
    """Return every signal that both sides have enough events for."""
    found = {name: _share(before.of(kind), after.of(kind)) for name, kind in SHARES.items()}
    found["label_shift"] = _label_shift(scheme, before.of("label"), after.of("label"))
    found["annotator_agreement"] = _agreement(scheme, before.blocks, after.blocks)
    return {name: signal for name, signal in found.items() if signal is not None}


def counts(events: Sequence[Event]) -> dict[str, tuple[int, int]]:
    """Return stratum -> (events, wrong ones)."""
    n, wrong = Counter(e.stratum for e in events), Counter(e.stratum for e in events if e.wrong)
    return {stratum: (n[stratum], wrong[stratum]) for stratum in n}


def standardised(before: Sequence[Event], after: Sequence[Event]) -> tuple[float, float]:
    """Return the shares of right events before, in the later mix of strata, and after."""
    old, new = counts(before), counts(after)
    shared = {stratum: value for stratum, value in new.items() if stratum in old}
    if not shared:
        return _right(old), _right(new)
    total = sum(n for n, _ in shared.values())
    expected = sum(n * (1 - old[s][1] / old[s][0]) for s, (n, _) in shared.items()) / total
    return expected, _right(shared)


def _right(table: dict[str, tuple[int, int]]) -> float:
    n = sum(count for count, _ in table.values())
    return 1.0 - sum(wrong for _, wrong in table.values()) / max(1, n)


def _share(before: Sequence[Event], after: Sequence[Event]) -> Signal | None:
    if len(before) < _FEWEST or len(after) < _FEWEST:
        return None
    was, now = standardised(before, after)
    interval, p = difference(was, len(before), now, len(after))
    return Signal(
        value=now,
        tier=Tier.OK,
        unit="share of judgements",
        baseline_mean=was,
        window_mean=now,
        p_value=p,
        effect=now - was,
        interval=interval,
        note=f"{len(after)} comparisons",
    )


def difference(was: float, m: int, now: float, n: int) -> tuple[Interval, float]:
    """Return the 95 % interval of a difference of two shares and the two-sided p-value of there being none."""
    p, q = (was * m + 1) / (m + 2), (now * n + 1) / (n + 2)
    error = float(np.sqrt(p * (1 - p) / (m + 2) + q * (1 - q) / (n + 2)))
    both = (was * m + now * n) / (m + n)
    null = float(np.sqrt(max(both * (1 - both), 0.25 / (m + n)) * (1 / m + 1 / n)))
    return (q - p - 1.96 * error, q - p + 1.96 * error), float(2 * norm.sf(abs(now - was) / null))


def _label_shift(scheme: Scheme, before: Sequence[Event], after: Sequence[Event]) -> Signal | None:
    """Total variation between the labels; the effect is the largest shift of a share, or of the mean of a scale."""
    m, n = len(before), len(after)
    if m < _FEWEST or n < _FEWEST:
        return None
    old, new = (Counter(scheme.stratum(e.label) for e in side) for side in (before, after))
    shift = {name: new[name] / n - old[name] / m for name in {*old, *new}}
    top = max(sorted(shift), key=lambda name: abs(shift[name]))
    distance = sum(map(abs, shift.values())) / 2
    if scheme.cuts:
        return _mean_shift([e.label for e in before], [e.label for e in after], distance)
    was, now = old[top] / m, new[top] / n
    interval, p = difference(was, m, now, n)
    return Signal(
        value=distance,
        tier=Tier.OK,
        unit="total variation",
        baseline_mean=was,
        window_mean=now,
        p_value=min(1.0, len(shift) * p),
        effect=now - was,
        interval=interval,
        note=f"share of {top}{_rated(before, after)}",
    )


def _rated(before: Sequence[Event], after: Sequence[Event]) -> str:
    """Say whether labels whose order is known are lower or higher than before; empty where it is not."""
    old, new = ([order(event.label) for event in side] for side in (before, after))
    if None in old or None in new:
        return ""
    was, now = (float(np.mean([place for place in side if place is not None])) for side in (old, new))
    return LOWER if now < was else HIGHER


def _mean_shift(before: Sequence[str], after: Sequence[str], distance: float) -> Signal | None:
    old, new = (
        np.array([value for label in side if (value := numeric(label)) is not None])
        for side in (before, after)
    )
    if len(old) < _FEWEST or len(new) < _FEWEST:
        return None
    spread = max(float(old.std()), 1e-9)
    effect = float(new.mean() - old.mean()) / spread
    error = float(np.sqrt(old.var() / len(old) + new.var() / len(new))) / spread
    return Signal(
        value=distance,
        tier=Tier.OK,
        unit="total variation",
        baseline_mean=float(old.mean()),
        window_mean=float(new.mean()),
        p_value=float(2 * norm.sf(abs(effect) / max(error, 1e-9))),
        effect=effect,
        interval=(effect - 1.96 * error, effect + 1.96 * error),
        note=f"mean label, in standard deviations{LOWER if effect < 0 else HIGHER}",
    )


def _agreement(scheme: Scheme, before: Sequence[Coincidence], after: Sequence[Coincidence]) -> Signal | None:
    """Krippendorff's alpha after, against before; AC1, PABAK and pi stand in the note."""
    (was, old), (now, new) = jackknife(before, scheme.level), jackknife(after, scheme.level)
    if now is None:
        return None
    others = merged(after).agreement(scheme.level)
    error = float(np.hypot(_error(old), _error(new))) if was is not None else 0.0
    beside = f"AC1 {others.ac1:.2f}, PABAK {others.pabak:.2f}, pi {others.pi:.2f}" if others.ac1 else ""
    return Signal(
        value=now,
        tier=Tier.OK,
        unit=f"alpha ({scheme.level})",
        baseline_mean=was,
        window_mean=now,
        p_value=float(2 * norm.sf(abs(now - was) / error)) if was is not None and error else None,
        effect=None if was is None else now - was,
        interval=new,
        note=beside,
    )


def _error(interval: Interval | None) -> float:
    return 0.0 if interval is None else (interval[1] - interval[0]) / 4.2
