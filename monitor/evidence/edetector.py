"""Evidence under continuous looking: e-detectors on one false-alarm budget.

Each process bets against "nothing changed" on one score, in one direction, at one stake; its wealth is a
Shiryaev-Roberts sum of e-values, M <- (M + t) e, where t is the time since the last step. Whatever the looking,
E[M] <= elapsed time as long as nothing changed, so the weighted mean of all processes exceeds A on average not
before A minutes (Shin, Ramdas & Rinaldo 2024, e-detectors; the average needs no independence: Vovk & Wang 2021).

Stakes on normal scores use that these are 1-sub-Gaussian (see `normal_scores`); counts use likelihood ratios. The
null is not the baseline's mean exactly but a tolerance around it, because a baseline is itself an estimate, and
every variance is multiplied by the baseline's overdispersion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.baseline.frozen import Baseline
from monitor.evidence.findings import Findings
from monitor.sketch.bucket import Bucket
from monitor.sketch.layout import PROMPT_SCORES, RESPONSE_SCORES, SYSTEM_SCORES, known_share

Floats = NDArray[np.float64]

MINUTES_PER_MONTH = 30 * 24 * 60
_STAKES = np.array([0.1, 0.2, 0.4, 0.8])
# Shares of the budget; within a family all processes weigh the same.
_SHARES = {"prompt": 0.20, "novelty": 0.15, "response": 0.45, "quality": 0.10, "system": 0.10}
# Minutes that one step may add to the wealth: after a long silence nothing is suspicious by itself.
LONGEST_STEP = 60.0
# What one signal must show by itself, in a window that begins where its change began.
SIGNAL_LEVEL = 0.001
# Tolerance around the baseline's mean, in standard errors of that mean.
_TOLERANCE = 3.0
# Wealth beyond this many logs over the alarm adds nothing but a slower recovery.
_LOG_HEADROOM = 6.0
# (count, out of) pairs whose rise is bet on.
_RATES: tuple[tuple[str, str, str], ...] = (
    ("novelty", "novel_90", "prompts"),
    ("novelty", "novel_98", "prompts"),
    ("quality", "refused", "answers"),
    ("quality", "truncated", "exchanges"),
    ("quality", "empty", "exchanges"),
    ("quality", "incomplete", "exchanges"),
    ("quality", "errors", "exchanges"),
)
_RISES = np.array([0.02, 0.05, 0.12, 0.3, 0.6])


class Process(msgspec.Struct, frozen=True, array_like=True):
    """What a process bets on: a family, the score or count it watches, and the direction (+1 rises)."""

    family: str
    name: str
    sign: int


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Log wealth of every process, when each began to rise, and since when a standing alarm dates the change.

    Times are epoch seconds. `since` is estimated when the alarm is raised and kept while it stands.
    """

    baseline: str
    log_wealth: Floats
    onset: Floats
    since: float | None = None

    @property
    def alarmed(self) -> bool:
        """Whether an alarm stands."""
        return self.since is not None

    def to_bytes(self) -> bytes:
        """Encode for the store."""
        parts = (self.baseline, self.log_wealth.tobytes(), self.onset.tobytes(), self.since)
        return msgspec.msgpack.encode(parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> Evidence:
        """Decode. Raises ValueError when the data are damaged."""
        try:
            baseline, wealth, onset, since = msgspec.msgpack.decode(
                data, type=tuple[str, bytes, bytes, float | None]
            )
        except msgspec.MsgspecError as error:
            raise ValueError(f"damaged evidence: {error}") from None
        return cls(baseline, np.frombuffer(wealth).copy(), np.frombuffer(onset).copy(), since)


class Detector:
    """All processes of a baseline under one budget. Stateless: evidence goes in and comes out."""

    def __init__(self, baseline: Baseline, false_alarms_per_month: float) -> None:
        self.baseline_id = baseline.id
        self.log_alarm = float(np.log(MINUTES_PER_MONTH / false_alarms_per_month))
        self._banks = [_ScoreBank(baseline, *bank) for bank in _BANKS] + [_RateBank(baseline)]
        self.processes = [process for bank in self._banks for process in bank.processes]
        families = [process.family for process in self.processes]
        self._log_weight = np.array([np.log(_SHARES[f] / families.count(f)) for f in families])

    @property
    def log_weights(self) -> Floats:
        """Each process's share of the budget, as a log."""
        return self._log_weight

    @property
    def log_ceiling(self) -> Floats:
        """Wealth that no process passes, as a log."""
        return self.log_alarm - self._log_weight + _LOG_HEADROOM

    def log_e_values(self, delta: Bucket) -> Floats:
        """Return what each process wins or loses, as a log, on what was folded since the last step."""
        return np.concatenate([bank.log_e_values(delta) for bank in self._banks])

    def start(self) -> Evidence:
        """Return evidence of nothing yet."""
        nothing = np.full(len(self.processes), -np.inf)
        return Evidence(self.baseline_id, nothing, np.zeros(len(self.processes)))

    def advance(self, evidence: Evidence, delta: Bucket, *, minutes: float, now: float) -> Evidence:
        """Take in what was folded since the last step, `minutes` ago. `now` is its epoch time.

        The alarm stands from when the wealth reaches the budget until it has fallen to its square root.
        """
        stake = self.log_e_values(delta)
        fresh = np.log(np.clip(minutes, 1e-9, LONGEST_STEP))
        grown = np.logaddexp(evidence.log_wealth, fresh)
        onset = np.where(evidence.log_wealth <= fresh, now, evidence.onset)
        log_wealth = np.minimum(grown + stake, self.log_ceiling)
        total = self.total(log_wealth)
        alarmed = total >= (self.log_alarm / 2 if evidence.alarmed else self.log_alarm)
        since = evidence.since if evidence.alarmed else self._since(log_wealth, onset)
        return Evidence(evidence.baseline, log_wealth, onset, since if alarmed else None)

    def total(self, log_wealth: Floats) -> float:
        """Return the log of the weighted mean wealth, to be compared with `log_alarm`."""
        return float(np.logaddexp.reduce(log_wealth + self._log_weight))

    def without(self, evidence: Evidence, names: frozenset[str]) -> Evidence:
        """Return the evidence of all processes but those on these names; the alarm stands where these do not carry it.

        Where they held more than the others did, the others must reach the alarm by themselves.
        """
        mine = np.array([process.name in names for process in self.processes])
        if not mine.any():
            return evidence
        dropped, wealth = (np.where(part, -np.inf, evidence.log_wealth) for part in (~mine, mine))
        carried = self.total(dropped) > self.total(wealth)
        left = Evidence(evidence.baseline, wealth, evidence.onset, evidence.since)
        if not evidence.alarmed or not carried:
            return left
        stands = self.total(wealth) >= self.log_alarm
        return replace(left, since=self._since(wealth, evidence.onset) if stands else None)

    def family_wealth(self, evidence: Evidence, families: frozenset[str]) -> float:
        """Return the log of the weighted wealth of some families: their part of the total."""
        mine = [i for i, process in enumerate(self.processes) if process.family in families]
        return float(np.logaddexp.reduce(evidence.log_wealth[mine] + self._log_weight[mine]))

    def by_name(self, evidence: Evidence) -> dict[str, tuple[float, int, float]]:
        """Return for each watched name its richest process: log wealth, sign, onset."""
        best: dict[str, tuple[float, int, float]] = {}
        for process, wealth, onset in zip(
            self.processes, evidence.log_wealth.tolist(), evidence.onset.tolist(), strict=True
        ):
            if process.name not in best or wealth > best[process.name][0]:
                best[process.name] = (wealth, process.sign, onset)
        return best

    def findings(self, evidence: Evidence) -> Findings:
        """Return what the evidence says; a family shows a change where it holds a fair part of the alarm."""
        wealth = {family: self.family_wealth(evidence, frozenset({family})) for family in _SHARES}
        enough = self.log_alarm - 1.0
        shows = {
            family: evidence.alarmed and w >= min(enough, max(wealth.values()))
            for family, w in wealth.items()
        }
        return Findings(
            drifted=evidence.alarmed,
            traffic=shows["prompt"] or shows["novelty"],
            behaviour=shows["response"] or shows["quality"],
            service=shows["system"] or shows["quality"],
            signal_level=SIGNAL_LEVEL,
            e_values={family: float(np.exp(min(w, 700.0))) for family, w in wealth.items()},
            since=evidence.since,
        )

    def _since(self, log_wealth: Floats, onset: Floats) -> float:
        """Return when the processes that contribute most began to rise (epoch s).

        Of those about equally rich, the one that began last: small stakes hover above zero even without change.
        """
        part = log_wealth + self._log_weight
        return float(onset[part >= part.max() - 1.0].max())


# (family, names, field of sums, count of exchanges in them, key of the overdispersion)
_BANKS: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    ("prompt", PROMPT_SCORES, "prompt_scores", "prompts"),
    ("response", RESPONSE_SCORES, "response_scores", "supported"),
    ("system", SYSTEM_SCORES, "system_scores", "timed"),
)


def _signs(name: str) -> tuple[int, int]:
    """Return the two directions bet on.

    Texts nearer to the baseline's centres than its own are no news, nor are answers that fit better: those to prompts
    that the baseline learnt from do.
    """
    if name.endswith("novelty"):
        return (1, 1)
    return (-1, -1) if name == "answer fit" else (1, -1)


class _ScoreBank:
    """Both directions and all stakes on each normal score of a family."""

    def __init__(
        self, baseline: Baseline, family: str, names: tuple[str, ...], sums: str, count: str
    ) -> None:
        self._sums, self._count = sums, count
        self._signs = np.array([_signs(name) for name in names], dtype=np.float64)[:, :, None]
        self.processes = [
            Process(family, name, sign) for name in names for sign in _signs(name) for _ in _STAKES
        ]
        dispersion = baseline.overdispersion.get(family, np.ones(len(names)))
        size = max(1, baseline.reference.count(count)) * known_share(names)
        self._tolerance = (_TOLERANCE * np.sqrt(dispersion / size))[:, None, None]
        self._variance = dispersion[:, None, None]

    def log_e_values(self, delta: Bucket) -> Floats:
        n, sums = delta.count(self._count), delta.read(self._sums)[:, None, None]
        signed = sums * self._signs - n * self._tolerance
        log_e = _STAKES * signed - n * self._variance * _STAKES**2 / 2
        return np.asarray(log_e, dtype=np.float64).ravel()


class _RateBank:
    """Rises of shares: likelihood ratios of Bernoulli counts, tempered by the overdispersion."""

    def __init__(self, baseline: Baseline) -> None:
        reference = baseline.reference
        self.processes = [Process(family, name, 1) for family, name, _ in _RATES for _ in _RISES]
        hits = np.array([reference.count(name) for _, name, _ in _RATES], dtype=np.float64)
        of = np.array([max(1, reference.count(total)) for _, _, total in _RATES], dtype=np.float64)
        rate = (hits + 0.5) / (of + 1.0)
        # The rates of novel prompts were measured on the held-out half.
        known = np.where(np.array([family == "novelty" for family, _, _ in _RATES]), of / 2, of)
        self._null = np.minimum(rate + _TOLERANCE * np.sqrt(rate / known) + 3.0 / known, 0.95)[:, None]
        self._rise = self._null + (1.0 - self._null) * _RISES
        novelty = float(baseline.overdispersion["prompt"][PROMPT_SCORES.index("prompt novelty")])
        self._temper = np.array([novelty if family == "novelty" else 1.0 for family, _, _ in _RATES])[:, None]

    def log_e_values(self, delta: Bucket) -> Floats:
        hits = np.array([delta.count(name) for _, name, _ in _RATES], dtype=np.float64)[:, None]
        of = np.array([delta.count(total) for _, _, total in _RATES], dtype=np.float64)[:, None]
        ratio = hits * np.log(self._rise / self._null)
        ratio = ratio + (of - hits) * np.log((1.0 - self._rise) / (1.0 - self._null))
        return np.asarray(ratio / self._temper, dtype=np.float64).ravel()
