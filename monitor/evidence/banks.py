"""Banks of bets on counts: what each process of the e-detector wins or loses on what a step brings (scores: `scores`).

Law: each bank's e-values have a mean of at most one as long as nothing has changed and the baseline errs by no more than
its tolerance; where it errs by almost that much, bets on large rises of shares have not (`_nulls`). Shares and cells:
likelihood ratios of Bernoulli counts, which by the concavity of the logarithm hold for mixtures of hours, too; tempered
by the overdispersion.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from monitor.baseline.frozen import Baseline
from monitor.baseline.neighbourhoods import neighbourhoods
from monitor.baseline.seasonality import Expected
from monitor.evidence.repetition import COUNTERS, MARGIN, largest_share
from monitor.sketch.bucket import Bucket
from monitor.sketch.cells import CELLS
from monitor.sketch.layout import LANDMARKS, RATES, SCALE

Floats = NDArray[np.float64]

_RISES = np.array([0.02, 0.05, 0.12, 0.3, 0.6])
_CELL_RISES = np.array([0.1, 0.3, 0.6])
# Shares of all prompts that a topic may bring to one landmark, and how surely what was there before is bounded.
_ARRIVALS = np.array([0.004, 0.012, 0.035, 0.1, 0.3])
_LANDMARK_LEVEL = 2e-4
# Tolerance around what the baseline measured, in standard errors of that.
TOLERANCE = 3.0
# What a bet on a rise may give away of the bound of its null, as a part of the rise; see `_nulls`.
_GIVEN = 0.125
# No share is taken to be surely none or all.
_LEAST = 1e-6


class Process(msgspec.Struct, frozen=True, array_like=True):
    """What a process bets on: a family, the score or count it watches, and the direction (+1 rises).

    `weight` is its part of the family's budget, relative to the others'.
    """

    family: str
    name: str
    sign: int
    weight: float = 1.0


class Delta(NamedTuple):
    """What a step brings: a bucket, what its hours lead one to expect, and what their error adds to each variance."""

    bucket: Bucket
    expected: Expected | None
    error: float

    def mean(self, name: str, of: str) -> Floats | float:
        """Return the expected mean of a field over the exchanges counted by `of`; 0 where hours say nothing."""
        if self.expected is None:
            return 0.0
        layout = self.bucket.layout
        count = float(self.expected.mean[layout.fields[of].start])
        return self.usual(name) / count if count > 0 else 0.0

    def usual(self, name: str) -> Floats:
        """Return what an exchange of these hours is expected to add to a field; only where hours say anything."""
        assert self.expected is not None  # noqa: S101 - whoever asks has looked
        field = self.bucket.layout.fields[name]
        part = self.expected.mean[field.start : field.stop]
        return part / SCALE if field.real else part

    def share(self, name: str, of: str) -> float | None:
        """Return the expected share of a count; None where hours say nothing."""
        if self.expected is None:
            return None
        return float(np.clip(self.mean(name, of), 0.0, 1.0).sum())

    def cells(self, name: str) -> Floats | None:
        """Return the expected counts (CELLS,) of an exchange; None where hours say nothing."""
        return None if self.expected is None else self.usual(name)


class RateBank:
    """Rises of shares: likelihood ratios of Bernoulli counts, tempered by the overdispersion."""

    def __init__(self, baseline: Baseline) -> None:
        reference = baseline.reference
        self.processes = [Process(family, name, 1) for family, name, _ in RATES for _ in _RISES]
        hits = np.array([reference.count(name) for _, name, _ in RATES], dtype=np.float64)
        of = np.array([max(1, reference.count(total)) for _, _, total in RATES], dtype=np.float64)
        self._rate = (hits + 0.5) / (of + 1.0)
        # The rates of novel prompts were measured on the held-out half.
        self._known = np.where(np.array([family == "novelty" for family, _, _ in RATES]), of / 2, of)
        self._temper = baseline.overdispersion["rate"]

    def log_e_values(self, delta: Delta) -> Floats:
        """Return the log of each process's e-value on a step."""
        bucket = delta.bucket
        hits = np.array([bucket.count(name) for _, name, _ in RATES], dtype=np.float64)[:, None]
        of = np.array([bucket.count(total) for _, _, total in RATES], dtype=np.float64)[:, None]
        null = _nulls(*self._null(delta), _RISES)
        rise = null + (1.0 - null) * _RISES
        ratio = hits * np.log(rise / null) + (of - hits) * np.log((1.0 - rise) / (1.0 - null))
        return np.asarray(ratio / self._temper[:, None], dtype=np.float64).ravel()

    def _null(self, delta: Delta) -> tuple[Floats, Floats]:
        """Return the rates of these hours, and the largest that are no change: with their uncertainty."""
        shares = [delta.share(name, total) for _, name, total in RATES]
        rate = np.array([r if s is None else s for r, s in zip(self._rate, shares, strict=True)])
        rate = np.clip(rate, _LEAST, 1.0 - _LEAST)
        spread = self._temper * (1.0 / self._known + (delta.expected.variance if delta.expected else 0.0))
        bound: Floats = rate + TOLERANCE * np.sqrt(rate * spread) + 3.0 / self._known
        return rate, bound


class CellBank:
    """One prompt, or one user, that fills the traffic: likelihood ratios of each cell's count."""

    def __init__(self, baseline: Baseline) -> None:
        self.processes = [
            Process("repetition", name, 1) for name in COUNTERS for _ in range(CELLS) for _ in _CELL_RISES
        ]
        known = [baseline.reference.read(field) for field in COUNTERS.values()]
        self._size = [float(counts.sum()) for counts in known]
        self._temper = baseline.overdispersion["cells"]
        self._null = [
            largest_share(counts, float(temper), MARGIN)
            for counts, temper in zip(known, self._temper, strict=True)
        ]

    def log_e_values(self, delta: Delta) -> Floats:
        """Return the log of each process's e-value on a step."""
        found = [self._of_counter(i, field, delta) for i, field in enumerate(COUNTERS.values())]
        return np.concatenate(found)

    def _of_counter(self, i: int, field: str, delta: Delta) -> Floats:
        hits = delta.bucket.read(field)[:, None]
        of = hits.sum()
        if not self._size[i] or not of:
            return np.zeros(CELLS * len(_CELL_RISES))
        null = self._of_hours(i, field, delta)
        rise = null + (1.0 - null) * _CELL_RISES
        ratio = hits * np.log(rise / null) + (of - hits) * np.log((1.0 - rise) / (1.0 - null))
        return np.asarray(ratio / self._temper[i], dtype=np.float64).ravel()

    def _of_hours(self, i: int, field: str, delta: Delta) -> float:
        if delta.expected is None or not delta.expected.mean.any():
            return self._null[i]
        expected = delta.cells(field)
        if expected is None or not expected.sum():
            return self._null[i]
        whole = expected * (self._size[i] / expected.sum())
        return largest_share(whole, float(self._temper[i]), MARGIN, delta.expected.variance)


class TopicBank:
    """Rises of far prompts at one landmark, or at neighbouring ones: a topic that arrives gathers at few of them.

    What was at each before is bounded from above, because a baseline's count at one landmark is small (Clopper &
    Pearson 1934, at a level that holds for all landmarks together).
    """

    def __init__(self, baseline: Baseline) -> None:
        levels = neighbourhoods(baseline.prompt.quantiser.landmarks)
        self._member = np.vstack([_members(groups) for groups in levels])
        self.processes = [Process("topic", "new topic", 1) for _ in range(len(self._member) * len(_ARRIVALS))]
        sizes = [int(groups.max()) + 1 for groups in levels]
        self._temper = np.repeat(baseline.overdispersion["topic"], sizes)
        self._of = max(1.0, float(baseline.reference.read("prompt_ranks").sum()))
        usual = self._member @ baseline.reference.read("far_prompts")
        # As if one more had come, and one more had not.
        share = (usual + 1.0) / (self._of + 2.0)
        self._usual = share, _bound(usual / self._of, self._of / self._temper)

    def log_e_values(self, delta: Delta) -> Floats:
        """Return the log of each process's e-value on a step."""
        hits, of = self._member @ delta.bucket.read("far_prompts"), delta.bucket.count("prompts")
        if not of:
            return np.zeros(len(self.processes))
        hits, null = hits[:, None], _nulls(*self._null(delta), _ARRIVALS)
        rise = null + (1.0 - null) * _ARRIVALS
        ratio = hits * np.log(rise / null) + (of - hits) * np.log((1.0 - rise) / (1.0 - null))
        return np.asarray(ratio / self._temper[:, None], dtype=np.float64).ravel()

    def _null(self, delta: Delta) -> tuple[Floats, Floats]:
        if delta.expected is None:
            return self._usual
        # Far prompts were counted over the held-out half alone, as the ranks were: that is what they are a share of.
        far, held_out = delta.cells("far_prompts"), delta.cells("prompt_ranks")
        if far is None or held_out is None or not held_out.sum():
            return self._usual
        part = float(held_out.sum())
        known = 1.0 / (self._temper * (1.0 / self._of + delta.expected.variance / part))
        bound = _bound(self._member @ far / part, known)
        # An hour's own shares are known too poorly to give anything away.
        return bound, bound


def _members(groups: NDArray[np.intp]) -> Floats:
    """Return (groups, LANDMARKS): 1 where a landmark belongs to a group."""
    member = np.zeros((int(groups.max()) + 1, LANDMARKS))
    member[groups, np.arange(len(groups))] = 1.0
    return member


def _nulls(share: Floats, bound: Floats, rises: Floats) -> Floats:
    """Return the null (shares, rises) of each bet: the bound less an eighth of its rise, not below the estimate.

    A bet on a rise r against a null q loses on average up to a true share of r / log(1 + r / q), far beyond q where r is
    large; so a large rise need not wait until the whole error of the baseline is passed. What is given away is an
    exponent: were the truth at the bound, wealth would not be a supermartingale but its power below one would. What that
    costs was counted on unchanged traffic (`benchmarks/detection/nulls.py`, the small baseline among them).
    """
    return np.minimum(np.maximum(share[:, None], bound[:, None] - _GIVEN * rises), 1.0 - _LEAST)


def _bound(share: Floats, known: Floats) -> Floats:
    """Return the largest shares (n,) that `share` (n,) of `known` independent prompts do not speak against."""
    bound: Floats = beta.ppf(
        1.0 - _LANDMARK_LEVEL, share * known + 1.0, np.maximum((1.0 - share) * known, 1.0)
    )
    return np.minimum(bound, 0.95)
