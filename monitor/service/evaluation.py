"""Evaluation: a verdict for every (route, arm), and their publication.

Law of this file: never `ok` for want of knowledge. First what makes judging impossible (`blind`), then what is not
there yet (`learning`), then the judge, then what its window misses. One of several workers evaluates at a time. Verdicts are published when
anything but their time has changed, and at the latest after `REPUBLISH_S`, so that the proxy can see they are fresh.
Which exchanges are looked at, and what they say, is decided where a recorded stream's are (`monitor.verdict.present`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from monitor.baseline import Baseline
from monitor.bus import Bus, BusStats
from monitor.canary.evidence import BUDGET_SHARE
from monitor.contract import Cause, Progress, Tier, Verdict
from monitor.contract.config import Config
from monitor.evidence.edetector import Detector, Evidence
from monitor.evidence.findings import NOTHING as NOTHING_FOUND
from monitor.evidence.rescoring import ScorerChange
from monitor.service.canaries import Canaries, has_canaries
from monitor.service.folding import CONTROL
from monitor.service.health import Health
from monitor.service.labelling import Labelling
from monitor.service.losses import with_losses
from monitor.service.references import Reference, References, obstacle
from monitor.service.rescoring import Watch
from monitor.sketch.bucket import Bucket
from monitor.store import Store
from monitor.store.arms import Arms, Step
from monitor.store.lessons import NOTHING
from monitor.verdict.judge import blind_verdict, learning_verdict
from monitor.verdict.present import Moment, judge_present
from monitor.verdict.scorer import hidden_names

REPUBLISH_S = 10.0

Key = tuple[str, str]


@dataclass
class Evaluator:
    """Judges everyone and publishes."""

    config: Config
    store: Store
    bus: Bus
    references: References
    health: Health
    watch: Watch | None = None
    canaries: Canaries | None = None
    _labelling: Labelling = field(init=False)
    _detectors: dict[str, Detector] = field(default_factory=dict)
    _published: list[Verdict] = field(default_factory=list)
    _published_at: float = 0.0

    def __post_init__(self) -> None:
        self._labelling = Labelling(self.store, self.config.detection)

    def evaluate(self, now: float) -> list[Verdict]:
        """Return the verdicts now, of everyone seen and of every configured route; keep and publish them."""
        blind = self._why_all_are_blind(self.bus.stats(), now)
        verdicts = [self._with_canaries(self._verdict(key, now, blind)) for key in self._keys(now)]
        verdicts = self._labelling.told(verdicts, now)
        for verdict in verdicts:
            if self.store.verdicts.save(verdict) and verdict.tier is Tier.MINOR:
                self.store.reviews.add_verdict(verdict)
        self._publish(verdicts, now)
        return verdicts

    def _keys(self, now: float) -> list[Key]:
        """Name who is judged: every configured route, and whoever was seen within a window's length."""
        recently = now - self.config.detection.window_hours * 3600.0
        seen = {(arm.route, arm.arm) for arm in self.store.arms.seen() if arm.seen_at >= recently}
        return sorted(seen | {(route.name, CONTROL) for route in self.config.routes})

    def _why_all_are_blind(self, stats: BusStats, now: float) -> str | None:
        """Say that scoring lags too far behind to judge the present, or None."""
        lag = 0.0 if stats.oldest_waiting is None else now - stats.oldest_waiting
        if lag <= self.config.monitor.blind_after_s:
            return None
        waited = f"{lag / 60.0:.0f} min" if lag >= 120.0 else f"{lag:.0f} s"
        why = f"the oldest exchange has waited {waited} to be scored"
        return f"{why}: {self.health.trouble}" if self.health.trouble else why

    def _verdict(self, key: Key, now: float, blind: str | None) -> Verdict:
        reference = self.references.now().get(key[0])
        if blind is not None:
            return self._unknown(key, now, blind, reference)
        if reference is None:
            return learning_verdict(*key, progress=progress(self.store, self.config, key[0]), now=now)
        why = obstacle(reference, self.health.scorer)
        if why is not None or reference.baseline is None:
            cause = Cause.UNCERTAIN if reference.baseline is None else Cause.SCORER
            said = why or reference.fault
            return self._unknown(key, now, said, reference, cause)
        return self._judged(key, reference.baseline, now)

    def _unknown(
        self, key: Key, now: float, why: str, reference: Reference | None, cause: Cause = Cause.UNCERTAIN
    ) -> Verdict:
        """Return `blind`; a change that the evidence against the same baseline has shown stays known."""
        baseline, last = reference.id if reference else None, self.store.verdicts.last(*key)
        standing = last if last is not None and last.baseline == baseline else NOTHING_FOUND
        return blind_verdict(*key, why=why, now=now, baseline=baseline, cause=cause, standing=standing)

    def _judged(self, key: Key, baseline: Baseline, now: float) -> Verdict:
        detector, changed = self._detector(baseline), self.watch.known(baseline) if self.watch else None
        state = self.store.arms.step(
            key, baseline.id, now, lambda step: _next_state(detector, step, now, changed)
        )
        evidence = Evidence.from_bytes(state)
        if self.watch is not None:
            changed = self.watch.change(baseline, now, suspicious=evidence.alarmed)
            evidence = _without(detector, evidence, changed)
        findings = detector.findings(evidence)
        present = judge_present(
            baseline,
            _Minutes(self.store.arms, key, baseline),
            findings,
            Moment(now, int(now // 60) + 1),
            arm=key[1],
            settings=self.config.detection,
            previous=self.store.verdicts.last(*key),
            changed=changed,
        )
        return with_losses(present.verdict, self.bus.losses(60.0 * present.since))

    def _with_canaries(self, verdict: Verdict) -> Verdict:
        reference = self.references.now().get(verdict.route)
        if self.canaries is None or reference is None or reference.baseline is None:
            return verdict
        changed = self.watch is not None and self.watch.known(reference.baseline) is not None
        return self.canaries.told(verdict, scorer_changed=changed)

    def _detector(self, baseline: Baseline) -> Detector:
        if baseline.id not in self._detectors:
            share = 1.0 - BUDGET_SHARE if has_canaries(self.config, baseline.route) else 1.0
            budget = share * self.config.detection.false_alarms_per_month
            self._detectors[baseline.id] = Detector(baseline, budget)
        return self._detectors[baseline.id]

    def _publish(self, verdicts: Sequence[Verdict], now: float) -> None:
        timeless = [msgspec.structs.replace(verdict, time=0.0) for verdict in verdicts]
        if timeless == self._published and now - self._published_at < REPUBLISH_S:
            return
        self.bus.put_verdicts(verdicts)
        self._published, self._published_at = timeless, now


class _Minutes(NamedTuple):
    """The minutes of one (route, arm) under one baseline, as the store has them."""

    arms: Arms
    key: Key
    baseline: Baseline

    def window(self, since: int, until: int) -> Bucket:
        """Merge the epoch minutes [since, until)."""
        found = self.arms.window(self.key, self.baseline.id, since, until)
        return found if found is not None else Bucket.empty(self.baseline.id, self.baseline.shape)

    def back(self, since: int, until: int) -> Iterator[tuple[int, Bucket]]:
        """Yield those that hold anything, the newest first."""
        return self.arms.back(self.key, self.baseline.id, since, until)


def progress(store: Store, config: Config, route: str) -> Progress:
    """Tell how far a route without a baseline has come."""
    settings, learnt = config.baseline, store.lessons.learnt().get(route, NOTHING)
    return Progress(
        have=min(settings.size, learnt.scored),
        need=settings.size,
        hours=min(settings.learning_hours, learnt.hours),
        need_hours=settings.learning_hours,
    )


def _without(detector: Detector, evidence: Evidence, changed: ScorerChange | None) -> Evidence:
    return evidence if changed is None else detector.without(evidence, hidden_names(changed))


def _next_state(detector: Detector, step: Step, now: float, changed: ScorerChange | None = None) -> bytes:
    evidence = _read(detector, step.evidence) if step.evidence is not None else detector.start()
    if step.delta is not None:
        evidence = detector.advance(evidence, step.delta, minutes=step.minutes, now=now)
    return _without(detector, evidence, changed).to_bytes()


def _read(detector: Detector, state: bytes) -> Evidence:
    """Decode evidence; what another version has left, with other processes, begins anew."""
    try:
        evidence = Evidence.from_bytes(state)
    except ValueError:
        return detector.start()
    return evidence if len(evidence.log_wealth) == len(detector.processes) else detector.start()
