"""Two files of exchanges: is there any difference that chance would not make? One look.

Law of this file: every statistic is a function of the pooled exchanges that does not know which side they are from,
plus the labels; the labels are then permuted, so the level holds for any sample size and any dependence between
features (Fisher 1935; Hemerik & Goeman 2018). Families are tested: the prompts (traffic), the responses given
their prompts (behaviour), the rewards that the files bring (reward: what somebody took the trouble to measure is not to
drown among all that can be) and how they were served (service).

For behaviour the responses are first freed of what their prompts explain, by kernel ridge regression on the pooled
prompts with an extra term for equal prompts: on paired files this compares each answer with the other answers to the
same question. Where the traffic changed too, labels are permuted only among exchanges that were about as likely to
come from either side (strata of the propensity score; Rosenbaum & Rubin 1984), so that other questions are not
taken for other answers; strata know the labels, so there the level is approximate.

Exchanges of one user resemble each other, so where they carry users the signs of whole users are flipped instead of
permuting exchanges (see `flipped`): a user who sends much is one witness, not many. Where they carry none and a side
has prompts more than once (several samples of a model, several judgements of an answer), each prompt is one witness.
All others are taken to be independent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearson3, skew

from monitor.evidence.contrasts import (
    Block,
    behaviour_statistics,
    propensity_strata,
    reward_statistics,
    service_statistics,
    traffic_statistics,
)
from monitor.sketch.features import extract
from monitor.sketch.reservoir import priority_of
from monitor.sketch.scored import Scored

Floats = NDArray[np.float64]


class TwoSample(NamedTuple):
    """p-values of the families, and of all together (`p_value`); a family that cannot be tested is absent."""

    families: dict[str, float]
    p_value: float


# Permutations, and exchanges a side used at most: more change neither verdict nor power that matters.
_PERMUTATIONS, _ROWS = 400, 1200
_FEWEST = 20
# With fewer witnesses on a side than this, flipping their signs could never reach a level of 0.01.
_FEWEST_WITNESSES = 12
# Where all is as it always is, as the prompts of pairs are, the sum of surprises is nothing: its logarithm is this one's.
_NO_SURPRISE = 1e-3
# The largest of so few columns is summarised as a sum of squares is.
_FEW = 8
# A family has its part of all those that can be tested.
_SHARES = {"traffic": 0.30, "behaviour": 0.60, "reward": 0.30, "service": 0.10}
# Contrasts smaller than this, as a part of what they could be at most, are none.
_ROUNDING = 1e-6
# Traffic counts as changed, for the behaviour test's sake, from this p-value on.
_SHIFTED = 0.05


def compare_samples(baseline: Scored, window: Scored, seed: int = 0) -> TwoSample:
    """Test whether two sets of scored exchanges come from one source."""
    baseline, window = _thin(baseline), _thin(window)
    pooled = join(baseline, window)
    features = extract(pooled)
    label = np.arange(len(pooled.exchanges)) >= len(baseline.exchanges)
    users = witnesses([e.user for e in pooled.exchanges], label)
    prompts = repeated_prompts(pooled, label) if users is None else None
    witness = prompts if users is None else users
    tested = Labelled(label, np.zeros(len(label), dtype=np.intp), seed, witness=witness)
    families: dict[str, float | None] = {}
    families["traffic"] = tested.take(features.prompted).p_value(
        lambda rows: traffic_statistics(pooled, features, rows)
    )
    asked = families["traffic"]
    shifted = asked is not None and asked <= _SHIFTED
    strata = propensity_strata(pooled, features, label) if shifted else tested.stratum
    answered = tested._replace(stratum=strata).take(features.answered & (strata >= 0))
    families["behaviour"] = answered.p_value(
        lambda rows: behaviour_statistics(pooled, features, rows, unconditional=not shifted, together=prompts)
    )
    rated = tested._replace(stratum=strata).take(features.answered & (strata >= 0) & given(pooled))
    families["reward"] = rated.p_value(
        lambda rows: reward_statistics(pooled, features, rows, unconditional=not shifted)
    )
    # A tenth of the level is less than a rank among so few permutations can say.
    served = tested._replace(ranked=False)
    families["service"] = served.p_value(lambda rows: service_statistics(features, rows))
    known = {name: p for name, p in families.items() if p is not None}
    return TwoSample(known, combined_p(known))


def combined_p(families: dict[str, float]) -> float:
    """Combine the families' p-values by weighted Bonferroni."""
    whole = sum(_SHARES[name] for name in families) or 1.0
    return min([1.0, *(p * whole / _SHARES[name] for name, p in families.items())])


def family_level(name: str, families: dict[str, float], alpha: float) -> float:
    """Return the level of one family within `alpha` for all."""
    return alpha * _SHARES[name] / (sum(_SHARES[other] for other in families) or 1.0)


class Labelled(NamedTuple):
    """Rows to be told apart: `label` bool (n,) is True in the window; labels move within a `stratum` int (n,).

    Rows of one `witness` int (n,) are not independent; None where all are.
    """

    label: NDArray[np.bool_]
    stratum: NDArray[np.intp]
    seed: int
    rows: NDArray[np.intp] | None = None
    witness: NDArray[np.intp] | None = None
    ranked: bool = True

    def take(self, mask: NDArray[np.bool_]) -> Labelled:
        """Return the rows of a mask."""
        rows = np.flatnonzero(mask)
        witness = None if self.witness is None else self.witness[rows]
        return self._replace(label=self.label[rows], stratum=self.stratum[rows], rows=rows, witness=witness)

    def p_value(self, statistics: Callable[[NDArray[np.intp]], list[Block]]) -> float | None:
        """Test these rows; None where either side has too few of them."""
        rows = np.arange(len(self.label)) if self.rows is None else self.rows
        if min(int(self.label.sum()), int((~self.label).sum())) < _FEWEST:
            return None
        blocks = [block for block in statistics(rows) if block.features.shape[1]]
        if not blocks:
            return None
        if self.witness is None:
            return permutation_p(blocks, self.permuted(), ranked=self.ranked)
        return permutation_p(blocks, self.flipped(self.witness), ranked=True)

    def permuted(self) -> Floats:
        """Return (1 + permutations, n) contrasts of window against the rest, the observed one first."""
        rng = np.random.default_rng(self.seed)
        contrasts = np.zeros((_PERMUTATIONS + 1, len(self.label)))
        for where, weight in self._weights():
            contrasts[0, where] = weight
            for b in range(1, _PERMUTATIONS + 1):
                contrasts[b, where] = rng.permutation(weight)
        return contrasts

    def _weights(self) -> Iterator[tuple[NDArray[np.intp], Floats]]:
        """Yield the rows of each stratum that has both sides, and their weights.

        The window's rows weigh +1/size and the others -1/size, times the window's share.
        """
        for stratum in np.unique(self.stratum):
            where = np.flatnonzero(self.stratum == stratum)
            inside = int(self.label[where].sum())
            outside = len(where) - inside
            if inside and outside:
                yield where, np.where(self.label[where], 1.0 / inside, -1.0 / outside) * inside

    def flipped(self, witness: NDArray[np.intp]) -> Floats:
        """Return contrasts as `permuted` does, with the signs of whole witnesses flipped instead of labels permuted.

        What a witness adds to the contrast has mean zero without change, whatever depends on whatever within it, on
        both sides or one (wild cluster bootstrap; sign-flipped scores, Hemerik, Goeman & Finos 2020).
        """
        rng = np.random.default_rng(self.seed)
        _, of = np.unique(witness, return_inverse=True)
        signs = rng.choice((-1.0, 1.0), size=(_PERMUTATIONS + 1, int(of.max()) + 1))
        signs[0] = 1.0
        contrasts = np.zeros((_PERMUTATIONS + 1, len(self.label)))
        for where, weight in self._weights():
            signed = weight * signs[:, of[where]]
            # Centring the contrast is centring the features within the stratum.
            contrasts[:, where] = signed - signed.mean(axis=1, keepdims=True)
        return contrasts


def given(pooled: Scored) -> NDArray[np.bool_]:
    """Return which exchanges (n,) carry a reward of their own, and not the scorer's."""
    own = np.array([e.reward is not None for e in pooled.exchanges], dtype=bool)
    return np.asarray(own & ~np.isnan(pooled.reward), dtype=np.bool_)


def witnesses(names: Sequence[str | None], label: NDArray[np.bool_]) -> NDArray[np.intp] | None:
    """Return the number (n,) of each exchange's witness by name, those without a name being on their own.

    None where that says nothing: every witness has one exchange, or too few have all of a side.
    """
    of = _numbered(names)
    fewest = min(len(np.unique(of[label])), len(np.unique(of[~label])))
    return of if fewest >= _FEWEST_WITNESSES and of.max(initial=-1) + 1 < len(of) else None


def repeated_prompts(pooled: Scored, label: NDArray[np.bool_]) -> NDArray[np.intp] | None:
    """Return the prompts as witnesses (n,); None where no side has one twice: pairs are told apart by permuting them."""
    names = [e.prompt for e in pooled.exchanges]
    of = _numbered(names)
    if all(len(np.unique(of[side])) == int(side.sum()) for side in (label, ~label)):
        return None
    return witnesses(names, label)


def _numbered(names: Sequence[str | None]) -> NDArray[np.intp]:
    ids: dict[str, int] = {}
    return np.array(
        [ids.setdefault(name or f" {row}", len(ids)) for row, name in enumerate(names)], dtype=np.intp
    )


def permutation_p(blocks: Sequence[Block], contrasts: Floats, *, ranked: bool = False) -> float:
    """Return the p-value of the observed contrast (row 0) under all blocks' statistics together.

    Each statistic is made comparable by the tail of its permutation distribution (Pearson III, fitted), then the mean
    of -log p, strong against broad change, and their maximum, strong against a narrow one, are added. `ranked`: the
    fitted tail is believed only beyond the largest of all; where a permuted one is larger, the rank is a lower bound of
    the p-value, so that false alarms keep their level whatever the curve.
    """
    surprise = np.column_stack([-np.log(_tail(_summary(block, contrasts))) for block in blocks])
    if len(blocks) == 1:  # nothing to add up, and the curve that was fitted once is not to be bent again
        p_value, rank = float(np.exp(-surprise[0, 0])), int((surprise[:, 0] >= surprise[0, 0]).sum())
        return max(p_value, rank / len(surprise)) if ranked and rank > 1 else p_value
    whole = np.log(np.maximum(2.0 * surprise.mean(axis=1) + surprise.max(axis=1), _NO_SURPRISE))
    p_value, rank = float(_tail(whole)[0]), int((whole >= whole[0]).sum())
    return max(p_value, rank / len(whole)) if ranked and rank > 1 else p_value


def _summary(block: Block, contrasts: Floats) -> Floats:
    shift = contrasts @ block.features
    # Equal texts on both sides of a witness leave nothing but rounding, the scorer's included, which is no statistic.
    shift[np.abs(shift) < _ROUNDING * np.abs(contrasts).sum(axis=1).max() * np.abs(block.features).max()] = (
        0.0
    )
    if block.peak and shift.shape[1] <= _FEW:
        # The logarithm of the largest of few is skewed too: to the left, so that the fitted curve ends at two deviations.
        return np.asarray(np.cbrt((shift**2).max(axis=1)), dtype=np.float64)
    if block.peak:
        return np.asarray(np.log(np.abs(shift).max(axis=1) + 1e-12), dtype=np.float64)
    # The cube root of a sum of squares is nearly normal however many there are (Wilson & Hilferty 1931); its logarithm
    # is skewed for few of them, so much that a Pearson III would end where such sums still occur.
    return np.asarray(np.cbrt((shift**2).sum(axis=1)), dtype=np.float64)


def _tail(values: Floats) -> Floats:
    spread = values.std()
    if spread < 1e-12:
        return np.ones_like(values)
    p = pearson3.sf((values - values.mean()) / spread, float(np.clip(skew(values), -1.5, 1.5)))
    return np.asarray(np.clip(p, 1e-12, 1.0), dtype=np.float64)


def join(first: Scored, second: Scored) -> Scored:
    """Return the exchanges of both, one after the other."""
    shift = len(first.exchanges)
    return Scored(
        [*first.exchanges, *second.exchanges],
        np.concatenate([first.prompt, second.prompt]),
        np.concatenate([first.response, second.response]),
        np.concatenate([first.reward, second.reward]),
        first.errors | {row + shift: why for row, why in second.errors.items()},
    )


def _thin(scored: Scored) -> Scored:
    """Keep at most `_ROWS`, chosen by a hash of the prompt so that both sides keep the same questions.

    The n-th time that a prompt occurs has a hash of its own: a prompt asked often is thinned, not kept or lost whole.
    """
    if len(scored.exchanges) <= _ROWS:
        return scored
    times: Counter[str] = Counter()
    priorities = []
    for e in scored.exchanges:
        priorities.append(priority_of(f"{times[e.prompt]} {e.prompt}"))
        times[e.prompt] += 1
    order = np.argsort(priorities, kind="stable")
    return scored.take(np.sort(order[:_ROWS]))
