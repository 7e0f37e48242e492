"""Watching the scorer: nothing is blamed on the model before the scorer was looked at."""

from __future__ import annotations

from concurrent.futures import Future

import msgspec
import numpy as np
import pytest

from monitor.bus.memory import MemoryBus
from monitor.contract import Cause, Tier
from monitor.contract.config import BaselineConfig, Config
from monitor.evidence.rescoring import choose_anchors
from monitor.scorer import ScorerUnavailable
from monitor.scorer.fake import FakeScorer
from monitor.service.evaluation import Evaluator
from monitor.service.health import Health
from monitor.service.references import References
from monitor.service.rescoring import Answer, Watch
from monitor.service.scoring import score_exchanges
from monitor.sketch.fold import fold
from monitor.store import CounterKey, Work

NOW = 6000.0


class Tilted(FakeScorer):
    """A scorer whose reward and embedding can be changed under its name."""

    lower = 0.0
    other = False

    def score(self, prompts, responses):
        """Score as ever, and then differently."""
        scores = super().score(prompts, responses)
        embedded = scores.prompt[:, ::-1].copy() if self.other else scores.prompt
        return scores._replace(prompt=embedded, reward=(scores.reward - self.lower).astype(np.float32))


class Scene:
    """A scorer, a watch over it, and an evaluator of one route with a baseline."""

    def __init__(self, store, baseline, traffic) -> None:
        self.scorer, self.asked, self.answering = Tilted(), 0, True
        self.store, self.baseline, self.traffic = store, baseline, traffic
        self.health = Health(started_at=0.0, scorer="fake-16")
        self.watch = Watch(store, self._ask, every_s=3600.0, on_identity=self._identified)
        config, bus = Config(baseline=BaselineConfig(size=200)), MemoryBus()
        self.evaluator = Evaluator(config, store, bus, References(store), self.health, self.watch)
        store.anchors.put("default", baseline.id, choose_anchors(self.scored(traffic(300))))
        store.baselines.add(baseline, "test")
        self.batches = 0

    def _identified(self, scorer):
        self.health.scorer = scorer

    def _ask(self, prompts, responses):
        self.asked += 1
        future: Future[Answer] = Future()
        if self.answering:
            future.set_result(Answer(self.scorer.identity, self.scorer.score(prompts, responses)))
        return future

    def scored(self, exchanges):
        """Score exchanges with the scorer as it is now."""
        return score_exchanges(self.scorer, exchanges, 256).scored

    def put(self, n, now, seed, **how):
        """Commit scored exchanges and evaluate; return the verdict."""
        made = self.traffic(n, seed=seed, time=now)
        rows = self.scored([msgspec.structs.replace(exchange, **how) for exchange in made])
        self.batches += 1
        counts = {CounterKey("default", "control", "scored"): n}
        self.store.ledger.commit(
            Work("b", [self.batches], 1e9, {}, fold(self.baseline, rows), [], counts), lambda: now
        )
        (verdict,) = self.evaluator.evaluate(now)
        return verdict


@pytest.fixture
def scene(store, baseline, traffic):
    """Give the scene."""
    return Scene(store, baseline, traffic)


def test_a_silently_changed_reward_model_is_never_called_the_models_drift(scene):
    """From the first verdict on that could blame anybody, it is the scorer; and after it is put right, nobody."""
    assert scene.put(200, NOW, 1).tier is Tier.OK
    scene.scorer.lower = 0.15
    verdicts = [scene.put(100, NOW + 60 * k, 10 + k) for k in range(1, 8)]
    told = [verdict for verdict in verdicts if verdict.drifted]
    assert told
    assert {(verdict.cause, verdict.tier) for verdict in told} == {(Cause.SCORER, Tier.MINOR)}
    assert {verdict.cause for verdict in verdicts} <= {Cause.SCORER, Cause.NONE}
    scene.scorer.lower = 0.0
    after = [scene.put(100, NOW + 60 * k, 30 + k) for k in range(20, 26)]
    assert (after[-1].cause, after[-1].tier) == (Cause.NONE, Tier.OK)


def test_a_changed_embedder_blinds_but_does_not_hide_errors(scene):
    """The same name with other vectors: cannot tell; a wave of errors is told all the same."""
    assert scene.put(200, NOW, 1).tier is Tier.OK
    scene.scorer.other = True
    verdicts = [scene.put(100, NOW + 60 * k, 10 + k) for k in range(1, 5)]
    assert {(v.cause, v.tier) for v in verdicts} <= {(Cause.SCORER, Tier.BLIND), (Cause.NONE, Tier.OK)}
    assert verdicts[-1].cause is Cause.SCORER
    verdicts = [scene.put(100, NOW + 60 * k, 20 + k, status=500) for k in range(5, 10)]
    assert (verdicts[-1].tier, verdicts[-1].cause) == (Tier.CRITICAL, Cause.DATA_QUALITY)
    assert verdicts[-1].signals["errors"].tier is Tier.CRITICAL
    assert any("the scorer changed" in caveat for caveat in verdicts[-1].caveats)


def test_a_declared_change_is_the_scorers_too(scene):
    """Another identity blinds the route, with the cause named."""
    assert scene.put(200, NOW, 1).tier is Tier.OK
    scene.health.scorer = "fake-17"
    (verdict,) = scene.evaluator.evaluate(NOW)
    assert (verdict.tier, verdict.cause) == (Tier.BLIND, Cause.SCORER)
    assert "fake-17" in verdict.headline
    scene.health.scorer = "fake-16"
    scene.scorer.identity = "fake-18"
    (verdict,) = scene.evaluator.evaluate(NOW + 3700.0)
    assert (verdict.tier, verdict.cause) == (Tier.BLIND, Cause.SCORER)
    assert scene.health.scorer == "fake-18"


def test_looks_are_rare_while_nothing_is_suspicious(scene):
    """One when the baseline is new, then one an hour."""
    for minute in range(0, 120, 5):
        scene.put(20, NOW + 60 * minute, minute)
    assert scene.asked == 2


def test_a_scorer_that_does_not_answer_leaves_the_last_look(scene):
    """No answer, no accusation of anybody; judging goes on and asks no second time meanwhile."""
    scene.put(200, NOW, 1)
    scene.answering = False
    for minute in range(61, 66):
        assert scene.put(60, NOW + 60 * minute, minute).cause is Cause.NONE
    assert scene.asked == 2


def test_a_scorer_that_is_down_is_asked_again_after_a_minute(scene):
    """A failed look is no look."""
    down = Future()
    down.set_exception(ScorerUnavailable("gone"))
    asked = []
    scene.watch._ask = lambda *_: asked.append(1) or down
    for second in (0, 10, 30, 61, 70):
        assert scene.watch.change(scene.baseline, NOW + second, suspicious=False) is None
    assert len(asked) == 2
