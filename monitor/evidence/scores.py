"""Bets on normal scores: each score, in both directions, with two ways to allow for what the baseline errs by.

*Tolerant* bets allow for three standard errors of the baseline's mean on every exchange, for ever: exp(stake (S - n t) -
n D stake^2 / 2), because normal scores are 1-sub-Gaussian; D is the overdispersion. They find what lasts.

*Predictive* bets take that error for a random draw, which is made only once. The sum S of n scores less a mean that m
exchanges tell has the variance V = D (n + n^2 / m), so exp(u S - u^2 V / 2) is an e-value for any u, and u = stake / (1 +
n / m) makes it the likelihood ratio of two samples (the predictive distribution of the new one; Geisser 1993). What came
before a course began, and raised no alarm, is as good as the baseline and counts with it, up to its size. They find soon
what is large beside a small baseline. What they pay depends on how much they have seen, so each *course* has one
beginning: when its wealth is no more than what a step adds (CUSUM; Page 1954). Of a Shiryaev-Roberts sum this is one
term, so the budget holds. It holds on average over baselines, not for one that errs by five standard errors; a course
therefore ends at `_LONGEST` times the baseline's size, when new exchanges tell next to nothing, and begins anew. An alarm
does not fall with it: what a course has found by then the tolerant bets have found, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.baseline.frozen import Baseline
from monitor.evidence.banks import TOLERANCE, Delta, Process
from monitor.sketch.layout import (
    PROMPT_SCORES,
    RESPONSE_SCORES,
    REWARD_SCORES,
    SYSTEM_SCORES,
    known_share,
)

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_TOLERANT_STAKES = np.array([0.1, 0.2])
_PREDICTIVE_STAKES = np.array([0.25, 0.45, 0.8])
# The predictive bets' part of what a score may spend.
_PREDICTIVE_SHARE = 0.8
_LONGEST = 8.0
# Scores that have a part of the budget to themselves, because people ask for them by name.
_OWN_FAMILY = {"response length": "length"} | dict.fromkeys(REWARD_SCORES, "reward")


class Course(NamedTuple):
    """What each of k predictive bets has seen since its beginning, float64 (k,).

    `seen` exchanges, the `load` that their variance is (hours included), and the `total` of their scores, signed; and the
    same of what came before the beginning.
    """

    seen: Floats
    load: Floats
    total: Floats
    seen_before: Floats
    load_before: Floats
    total_before: Floats

    def begun(self, again: Mask, *, usual: bool) -> Course:
        """Return the courses, some of them begun anew; what these had seen came before, if it was `usual`."""
        ended = again if usual else np.zeros_like(again)
        return Course(
            seen=np.where(again, 0.0, self.seen),
            load=np.where(again, 0.0, self.load),
            total=np.where(again, 0.0, self.total),
            seen_before=self.seen_before + np.where(ended, self.seen, 0.0),
            load_before=self.load_before + np.where(ended, self.load, 0.0),
            total_before=self.total_before + np.where(ended, self.total, 0.0),
        )


class Scores:
    """A family of s scores: what a step brings of each, and how well the baseline knows them.

    `dispersion` and `size`, the exchanges that the baseline's mean rests on, are float64 (s,); `signs` (s, 2); `sums` is the
    field of a bucket that they are summed in.
    """

    def __init__(
        self, baseline: Baseline, family: str, names: tuple[str, ...], sums: str, count: str
    ) -> None:
        self.family, self.names = family, names
        self.sums, self._count = sums, count
        self.signs = np.array([_signs(name) for name in names], dtype=np.float64)
        self.dispersion = baseline.overdispersion.get(family, np.ones(len(names)))
        self.size = np.maximum(1.0, self.counts(baseline.reference.total)) * known_share(names)

    def processes(self, stakes: Floats, share: float) -> list[Process]:
        """Return a process for each score, direction and stake; together they have this share of a score's budget."""
        return [
            Process(_OWN_FAMILY.get(name, self.family), name, sign, share / len(stakes))
            for name in self.names
            for sign in _signs(name)
            for _ in stakes
        ]

    def seen(self, delta: Delta) -> tuple[Floats, Floats]:
        """Return of how many exchanges each score came (s,), and its sum less what their hours lead one to expect."""
        n, sums = self.counts(delta.bucket.total), delta.bucket.read(self.sums)
        if delta.expected is None:
            return n, sums
        usual, of = delta.usual(self.sums), self.counts(lambda name: float(delta.usual(name)[0]))
        return n, sums - n * np.divide(usual, of, out=np.zeros(len(of)), where=of > 0)

    def counts(self, total: Callable[[str], float]) -> Floats:
        """Return of how many exchanges each score is summed; a reward may be missing where there is an answer."""
        counts = np.full(len(self.names), total(self._count))
        rewarded = [name in REWARD_SCORES for name in self.names]
        counts[rewarded] = total("rewarded") - total("unsupported")
        return counts


def _signs(name: str) -> tuple[int, int]:
    """Return the two directions bet on.

    Texts nearer to the baseline's centres than its own are no news, nor are answers that fit better: those to prompts
    that the baseline learnt from do.
    """
    if name.endswith("novelty"):
        return (1, 1)
    return (-1, -1) if name == "answer fit" else (1, -1)


def families(baseline: Baseline) -> list[Scores]:
    """Return the families of scores that are bet on."""
    return [
        Scores(baseline, "prompt", PROMPT_SCORES, "prompt_scores", "prompts"),
        Scores(baseline, "response", RESPONSE_SCORES, "response_scores", "supported"),
        Scores(baseline, "system", SYSTEM_SCORES, "system_scores", "timed"),
    ]


class TolerantBank:
    """Both directions and all stakes on each score of a family."""

    def __init__(self, scores: Scores) -> None:
        self._scores = scores
        self.processes = scores.processes(_TOLERANT_STAKES, 1.0 - _PREDICTIVE_SHARE)
        self._tolerance = TOLERANCE * np.sqrt(scores.dispersion / scores.size)

    def log_e_values(self, delta: Delta) -> Floats:
        """Return the log of each process's e-value on a step."""
        n, sums = self._scores.seen(delta)
        signed = sums[:, None] * self._scores.signs - (n * self._tolerance)[:, None]
        variance = (n * self._scores.dispersion * (1.0 + delta.error))[:, None, None]
        log_e = _TOLERANT_STAKES * signed[:, :, None] - variance * _TOLERANT_STAKES**2 / 2
        return np.asarray(log_e, dtype=np.float64).ravel()


class PredictiveBank:
    """Both directions and all stakes on each score of all families; stateless, courses go in and come out."""

    def __init__(self, scores: list[Scores]) -> None:
        self._scores = scores
        self.processes = [p for each in scores for p in each.processes(_PREDICTIVE_STAKES, _PREDICTIVE_SHARE)]
        self._size = _spread(np.concatenate([each.size for each in scores]))
        self._dispersion = _spread(np.concatenate([each.dispersion for each in scores]))
        self._stake = np.tile(_PREDICTIVE_STAKES, len(self.processes) // len(_PREDICTIVE_STAKES))

    def start(self) -> Course:
        """Return courses that have seen nothing."""
        return Course(*np.zeros((len(Course._fields), len(self.processes))))

    def over(self, course: Course) -> Mask:
        """Tell which courses have come to their end."""
        return course.seen >= _LONGEST * self._size

    def advance(self, delta: Delta, course: Course) -> tuple[Floats, Course]:
        """Return the log of what each process wins or loses on a step, and its course then."""
        found = [each.seen(delta) for each in self._scores]
        n = _spread(np.concatenate([seen for seen, _ in found]))
        pairs = zip(found, self._scores, strict=True)
        signed = np.concatenate([(sums[:, None] * each.signs).ravel() for (_, sums), each in pairs])
        after = course._replace(
            seen=course.seen + n,
            load=course.load + n * (1.0 + delta.error),
            total=course.total + np.repeat(signed, len(_PREDICTIVE_STAKES)),
        )
        return self._log_wealth(after) - self._log_wealth(course), after

    def _log_wealth(self, course: Course) -> Floats:
        """Return the log likelihood ratios of what courses have seen."""
        # As many exchanges as the mean of those before is worth, no more than the baseline.
        worth = course.seen_before**2 / np.maximum(course.load_before, 1.0)
        known = self._size + np.minimum(worth, self._size)
        mean = course.total_before / np.maximum(course.seen_before, 1.0) * (1.0 - self._size / known)
        stake = self._stake / (1.0 + course.seen / known)
        variance = self._dispersion * (course.load + course.seen**2 / known)
        ratio: Floats = stake * (course.total - course.seen * mean) - stake**2 * variance / 2
        return ratio


def _spread(values: Floats) -> Floats:
    """Repeat values (s,) for each direction and stake of predictive bets."""
    return np.repeat(values, 2 * len(_PREDICTIVE_STAKES))
