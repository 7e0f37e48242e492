"""A verdict for everyone, and when it is published."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.bus.memory import MemoryBus
from monitor.bus.sqlite import SqliteBus
from monitor.contract import Progress, Tier
from monitor.contract.config import BaselineConfig, Config, Detection, Route
from monitor.evidence.edetector import Detector
from monitor.evidence.twosample import join
from monitor.offline.backtest import backtest
from monitor.service.evaluation import Evaluator, _next_state, _read
from monitor.service.health import Health
from monitor.service.references import References
from monitor.sketch.fold import fold
from monitor.store import CounterKey, Lesson, Work
from monitor.store.arms import Step, see
from monitor.store.lessons import add_lesson
from tests.monitor.synthetic import World

NOW = 6000.0


@pytest.fixture
def bus():
    """Give an empty bus."""
    return MemoryBus()


@pytest.fixture
def evaluator(store, bus):
    """Give an evaluator of one configured route."""
    config = Config(baseline=BaselineConfig(size=200), detection=Detection(window_hours=1.0))
    return Evaluator(config, store, bus, References(store), Health(started_at=0.0, scorer="fake-16"))


def put(store, baseline, rows, batch_id, arm="control"):
    """Commit scored exchanges."""
    counts = {CounterKey("default", arm, "scored"): len(rows.exchanges)}
    deltas = fold(baseline, rows)
    store.ledger.commit(Work("b", [batch_id], 1e9, {}, deltas, [], counts), lambda: NOW)


def only(verdicts):
    """Return the one verdict there is."""
    (verdict,) = verdicts
    return verdict


def test_a_configured_route_is_learning_from_the_start(evaluator):
    """Before the first exchange there is a verdict already, and it is not ok."""
    verdict = only(evaluator.evaluate(NOW))
    assert (verdict.route, verdict.arm, verdict.tier) == ("default", "control", Tier.LEARNING)
    assert (verdict.progress.have, verdict.progress.need) == (0, 200)


def test_learning_says_how_many_exchanges_and_hours(evaluator, store, bus):
    """Never more than is needed: what is beyond waits for the other."""
    add_lesson(store.database, Lesson("default", "s", 900, b"", 1000.0, 19_000.0))
    config = Config(baseline=BaselineConfig(size=200, span_hours=24.0))
    evaluator = Evaluator(config, store, bus, References(store), Health(started_at=0.0))
    verdict = only(evaluator.evaluate(NOW))
    assert (verdict.tier, verdict.progress) == (
        Tier.LEARNING,
        Progress(have=200, need=200, hours=5.0, need_hours=24.0),
    )
    assert verdict.headline.endswith("200 of 200 exchanges, 5 h of 24 h")


def test_the_same_traffic_is_ok_and_another_is_not(evaluator, store, baseline, traffic, scored):
    """With a baseline the judge decides, on the window of the last hour."""
    store.baselines.add(baseline, "test")
    put(store, baseline, scored(traffic(200, seed=1, time=NOW)), 1)
    assert only(evaluator.evaluate(NOW)).tier is Tier.OK
    put(store, baseline, scored(traffic(400, seed=2, time=NOW + 300, bad=True)), 2)
    verdict = only(evaluator.evaluate(NOW + 300))
    assert (verdict.tier, verdict.drifted) == (Tier.CRITICAL, True)
    assert [v.tier for v in store.verdicts.history("default")] == [Tier.CRITICAL, Tier.OK]


def test_each_arm_has_its_own_verdict(evaluator, store, baseline, traffic, scored):
    """A candidate that answers badly does not make the control arm look bad."""
    store.baselines.add(baseline, "test")
    put(store, baseline, scored(traffic(200, seed=1, time=NOW)), 1)
    put(store, baseline, scored(traffic(200, seed=2, time=NOW, arm="candidate", bad=True)), 2, "candidate")
    tiers = {v.arm: v.tier for v in evaluator.evaluate(NOW)}
    assert tiers == {"control": Tier.OK, "candidate": Tier.CRITICAL}


def test_an_arm_that_is_gone_is_not_judged_for_ever(evaluator, store, baseline, traffic, scored):
    """After a rollout its candidate leaves the verdicts; a configured route stays and is blind."""
    store.baselines.add(baseline, "test")
    put(store, baseline, scored(traffic(60, seed=2, time=NOW, arm="candidate")), 1, "candidate")
    assert [v.arm for v in evaluator.evaluate(NOW + 3500.0)] == ["candidate", "control"]
    assert [(v.arm, v.tier) for v in evaluator.evaluate(NOW + 3700.0)] == [("control", Tier.BLIND)]


def test_too_few_exchanges_are_blind(evaluator, store, baseline, traffic, scored):
    """Below the least window, or with nothing in it, nobody says ok."""
    store.baselines.add(baseline, "test")
    assert only(evaluator.evaluate(NOW)).tier is Tier.BLIND
    put(store, baseline, scored(traffic(20, seed=1, time=NOW)), 1)
    verdict = only(evaluator.evaluate(NOW))
    assert verdict.tier is Tier.BLIND
    assert "20 scored exchanges in the last 7 days, 50 are needed" in verdict.headline
    put(store, baseline, scored(traffic(200, seed=2, time=NOW)), 2)
    assert only(evaluator.evaluate(NOW)).tier is Tier.OK
    assert only(evaluator.evaluate(NOW + 3700.0)).tier is Tier.BLIND


def test_a_lag_is_blind_and_says_why(evaluator, baseline, traffic, scored):
    """Once the oldest exchange has waited too long, old sketches are not taken for the present."""
    store, bus = evaluator.store, evaluator.bus
    store.baselines.add(baseline, "test")
    put(store, baseline, scored(traffic(200, seed=1, time=NOW)), 1)
    batch_id = bus.publish("p", traffic(1), now=NOW - 301.0)
    evaluator.health.troubled("work", "scorer unavailable: refused", NOW)
    verdict = only(evaluator.evaluate(NOW))
    assert verdict.tier is Tier.BLIND
    assert "waited 5 min" in verdict.headline
    assert "scorer unavailable" in verdict.headline
    bus.ack([batch_id])
    assert only(evaluator.evaluate(NOW)).tier is Tier.OK


def test_a_window_that_misses_much_is_blind(evaluator, baseline, traffic, scored):
    """What the bus lost unread may have looked different: the verdict says so instead of ok."""
    store = evaluator.store
    evaluator.bus = bus = MemoryBus(retention_bytes=2000)
    store.baselines.add(baseline, "test")
    put(store, baseline, scored(traffic(200, seed=1, time=NOW)), 1)
    assert only(evaluator.evaluate(NOW)).tier is Tier.OK
    bus.publish("p", traffic(100), now=NOW)
    assert bus.trim(NOW) == 100
    verdict = only(evaluator.evaluate(NOW))
    assert verdict.tier is Tier.BLIND
    assert "100 of 100 exchanges of this window (100.0%) were lost" in verdict.headline


def test_what_the_proxy_dropped_makes_blind_as_well(evaluator, baseline, traffic, scored, tmp_path):
    """Mirror loss on a real bus: a caveat up to a tenth of the window, blind beyond, ok again once it has passed."""
    store = evaluator.store
    evaluator.bus = bus = SqliteBus(tmp_path / "bus.sqlite")
    store.baselines.add(baseline, "test")
    put(store, baseline, scored(traffic(180, seed=1, time=NOW)), 1)
    bus.ack([bus.publish("p", traffic(180), now=NOW)])
    bus.report_dropped("proxy", 20, now=NOW)
    verdict = only(evaluator.evaluate(NOW))
    assert verdict.tier is Tier.OK
    assert any("20 of 200 exchanges" in caveat for caveat in verdict.caveats)
    bus.report_dropped("proxy", 21, now=NOW)
    verdict = only(evaluator.evaluate(NOW))
    assert verdict.tier is Tier.BLIND
    assert (
        "21 of 201 exchanges of this window (10.4%) were lost before they could be scored" in verdict.headline
    )
    later = NOW + 3660.0
    put(store, baseline, scored(traffic(200, seed=2, time=later)), 2)
    assert only(evaluator.evaluate(later)).tier is Tier.OK
    bus.close()


def test_loss_says_more_than_few(evaluator, baseline, traffic, scored):
    """Where few exchanges came because most were lost, the loss is the reason that is given."""
    store, bus = evaluator.store, evaluator.bus
    store.baselines.add(baseline, "test")
    put(store, baseline, scored(traffic(20, seed=1, time=NOW)), 1)
    bus.ack([bus.publish("p", traffic(20), now=NOW)])
    bus.report_dropped("proxy", 80, now=NOW)
    verdict = only(evaluator.evaluate(NOW))
    assert verdict.tier is Tier.BLIND
    assert "80 of 100 exchanges" in verdict.headline


def test_a_baseline_of_another_scorer_is_blind(evaluator, store, baseline, traffic, scored):
    """Never silently compared: the verdict says which scorers and what to do."""
    store.baselines.add(baseline, "test")
    evaluator.health.scorer = "other"
    verdict = only(evaluator.evaluate(NOW))
    assert verdict.tier is Tier.BLIND
    assert "baseline create" in verdict.headline


def test_verdicts_are_published_on_change_and_every_ten_seconds(evaluator, bus):
    """Readers poll the version: it changes when there is something new, or to show that verdicts are fresh."""
    versions = []
    for now in (0.0, 5.0, 9.0, 10.0, 12.0, 20.5):
        evaluator.evaluate(NOW + now)
        versions.append(bus.verdict_version())
    assert versions == [1, 1, 1, 2, 2, 3]
    evaluator.config = Config(routes=(Route(), Route(name="other", match="x*")))
    evaluator.evaluate(NOW + 21.0)
    assert bus.verdict_version() == 4
    assert {v.route for v in bus.verdicts()[1]} == {"default", "other"}


def test_evidence_of_another_version_begins_anew(baseline, traffic, scored):
    """State that cannot be read, or of other processes, is not used and does not stop the judging."""
    detector = Detector(baseline, 1.0)
    (delta,) = fold(baseline, scored(traffic(50, bad=True))).values()
    fresh = _next_state(detector, Step(None, delta, 1.0), NOW)
    assert _next_state(detector, Step(b"\x00", delta, 1.0), NOW) == fresh
    shorter = detector.start()
    cut = replace(shorter, log_wealth=shorter.log_wealth[:3], onset=shorter.onset[:3])
    assert len(_read(detector, cut.to_bytes()).log_wealth) == len(detector.processes)


def by_minute(scored):
    """Divide scored exchanges by their minutes."""
    rows = {}
    for row, exchange in enumerate(scored.exchanges):
        rows.setdefault(int(exchange.time // 60), []).append(row)
    return {minute: scored.take(chosen) for minute, chosen in sorted(rows.items())}


def follow_live(evaluator, baseline, minutes, restart_every=None):
    """Judge at the end of each minute; yield its number and verdict. `restart_every`: forget all but the store."""
    for i, (minute, rows) in enumerate(minutes.items()):
        now = 60.0 * minute
        if not i:  # the pipeline has seen the route a minute ago
            see(evaluator.store.database, "default", "control", now - 60.0)
        if restart_every and i % restart_every == 0:
            evaluator = renewed(evaluator)
        work = Work("b", [minute], 1e12, {}, fold(baseline, rows), [], {})
        evaluator.store.ledger.commit(work, lambda now=now: now)
        yield minute, only(evaluator.evaluate(now))


def renewed(evaluator):
    """Make an evaluator as a restarted monitor does: of the store alone."""
    store, health = evaluator.store, Health(started_at=0.0, scorer=evaluator.health.scorer)
    return Evaluator(evaluator.config, store, evaluator.bus, References(store), health)


@pytest.mark.parametrize(("rate", "quality"), [(30.0, -0.16), (5.0, -0.09), (0.2, -0.16), (0.1, -0.1)])
def test_live_and_recorded_verdicts_are_the_same(evaluator, store, reference, rate, quality):
    """The same buckets, judged minute by minute or as a recorded stream: the same changes and the same verdict."""
    store.baselines.add(reference, "test")
    evaluator.health.scorer = "synthetic"
    n, start = (130 if rate > 1.0 else 50), 60_000.0
    before = World(rate=rate, start=start).make(n, seed=1)
    after = World(rate=rate, start=start + 60.0 * n / rate, quality=quality).make(2 * n, seed=2)
    both = join(before, after)
    live, last = [], (Tier.OK, False)
    minutes = by_minute(both)
    for minute, verdict in follow_live(evaluator, reference, minutes):
        if (verdict.tier, verdict.drifted) != last and (verdict.drifted or last[1]):
            live.append((minute, verdict.tier, verdict.drifted))
        if verdict.drifted or last[1]:
            last = (verdict.tier, verdict.drifted)
    found = backtest(reference, both, detection=evaluator.config.detection)
    assert live == [(int(a.time // 60), a.tier, a.drifted) for a in found.alerts]
    assert live[0][1:] != (Tier.BLIND, False)
    said = (
        "tier",
        "drifted",
        "since",
        "n",
        "signals",
        "cause",
        "direction",
        "headline",
        "reasons",
        "caveats",
    )
    assert [getattr(verdict, field) for field in said] == [getattr(found.final, field) for field in said]


def test_a_tier_is_held_live_and_over_a_restart(evaluator, store, reference):
    """A reward once 5 % lower is left only above 4 %: not while it is 4.5 % lower, whoever judges."""
    store.baselines.add(reference, "test")
    evaluator.health.scorer = "synthetic"
    evaluator.config = Config(
        detection=Detection(window_hours=0.5, reward_error=0.0), baseline=BaselineConfig(size=200)
    )
    start = 60_000.0
    worse = World(rate=30.0, start=start, quality=-0.05).make(900, seed=1)
    little = World(rate=30.0, start=start + 1800.0, quality=-0.027).make(1200, seed=2)
    both = join(worse, little)
    minutes = by_minute(both)
    tiers = [v for _, v in follow_live(evaluator, reference, minutes, restart_every=7)]
    last = tiers[-1].signals["reward"]
    assert -0.05 < last.effect < -0.04
    assert last.tier is Tier.MINOR
    store.database.execute("UPDATE arms SET verdict = NULL")
    assert only(evaluator.evaluate(60.0 * max(minutes))).signals["reward"].tier is Tier.OK


def test_a_change_stays_known_while_nothing_can_be_told(evaluator, traffic, baseline, scored):
    """A lag, losses or another scorer make a verdict blind; the evidence of before stands."""
    store, bus = evaluator.store, evaluator.bus
    store.baselines.add(baseline, "test")
    put(store, baseline, scored(traffic(200, seed=1, time=NOW)), 1)
    put(store, baseline, scored(traffic(400, seed=2, time=NOW, bad=True)), 2)
    shown = only(evaluator.evaluate(NOW))
    assert (shown.tier, shown.drifted) == (Tier.CRITICAL, True)
    batch_id = bus.publish("p", traffic(1), now=NOW - 301.0)
    for _ in range(2):
        late = only(evaluator.evaluate(NOW))
        assert (late.tier, late.drifted, late.since) == (Tier.BLIND, True, shown.since)
    bus.ack([batch_id])
    evaluator.health.scorer = "other"
    other = only(evaluator.evaluate(NOW))
    assert (other.tier, other.drifted, other.since) == (Tier.BLIND, True, shown.since)
    evaluator.health.scorer = "fake-16"
    assert only(evaluator.evaluate(NOW)).tier is Tier.CRITICAL
    bus.report_dropped("proxy", 300, now=NOW)
    lost = only(evaluator.evaluate(NOW))
    assert (lost.tier, lost.drifted, lost.since) == (Tier.BLIND, True, shown.since)
