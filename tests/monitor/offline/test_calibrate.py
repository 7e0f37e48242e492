"""Calibrating on a history: the live detector's own alarms, thresholds above noise, an honest word on short histories."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from monitor.contract import Signal, Tier
from monitor.contract.config import BaselineConfig, Detection
from monitor.evidence.edetector import Detector
from monitor.evidence.twosample import join
from monitor.offline.blocks import HistoryTooShort
from monitor.offline.calibrate import Rate, Stream, calibrate, count_alarms, propose
from monitor.sketch.fold import fold
from monitor.sketch.scored import Scored
from tests.monitor.synthetic import World

LEARNING = BaselineConfig(clusters=8)


def spread_out(scored: Scored, days: int) -> Scored:
    """Put exchanges at equal distances over some days."""
    n = len(scored.exchanges)
    exchanges = [
        msgspec.structs.replace(e, id=f"h{i}", time=1e9 + i * days * 86400.0 / n)
        for i, e in enumerate(scored.exchanges)
    ]
    return scored._replace(exchanges=exchanges)


def run(history: Scored, resamples: int = 3, **detection: float):
    """Calibrate with windows of half a day."""
    settings = Detection(window_hours=12.0, **detection)
    return calibrate(
        history,
        scorer="s",
        learning=LEARNING,
        detection=settings,
        resamples=resamples,
        progress=lambda _: None,
    )


@pytest.fixture(scope="module")
def driftless():
    """Calibrate on ten days without any change."""
    return run(spread_out(World().make(1200, seed=4), days=10))


def test_a_driftless_history_keeps_its_budget(driftless):
    """No alarm at any budget that matters, the wanted budget proposed, no threshold lowered."""
    assert (driftless.block, driftless.blocks, driftless.exchanges) == (
        "days",
        10,
        1200,
    ) or driftless.blocks == 11
    by_budget = {rate.budget: rate for rate in driftless.rates}
    assert by_budget[1.0].alarms == 0
    assert by_budget[1.0].low == 0.0 < by_budget[1.0].high
    assert driftless.proposed.false_alarms_per_month == 1.0
    for name, value in msgspec.structs.asdict(driftless.proposed.thresholds).items():
        assert value >= getattr(Detection().thresholds, name)
    assert driftless.history_alarms == 0
    rates = [rate.alarms for rate in driftless.rates]
    assert rates == sorted(rates)


def test_what_would_be_seen_is_told_in_units_a_team_has(driftless):
    """A share of the reward, of the prompts, of the answers."""
    assert 0.0 < driftless.seen_in_a_day["reward_share"] < 0.5
    assert set(driftless.seen_in_a_day) >= {"reward", "response", "refused"}


def test_days_that_differ_alarm_and_are_told():
    """A history with two bad days is not driftless, and the calibration says so."""
    broken = World(quality=-0.5, refusals=0.5)
    days = [(broken if day in {3, 8} else World()).make(120, seed=day) for day in range(10)]
    history = days[0]
    for day in days[1:]:
        history = join(history, day)
    found = run(spread_out(history, days=10), resamples=4, false_alarms_per_month=0.25)
    wanted = next(rate for rate in found.rates if rate.budget == 0.25)
    assert wanted.alarms >= 2
    assert wanted.low > 0.25
    assert found.proposed.false_alarms_per_month < 0.25
    assert any("more often than its budget" in remark for remark in found.notes)


def test_too_little_history_is_said():
    """In exchanges, or in time."""
    with pytest.raises(HistoryTooShort, match="399 exchanges"):
        run(spread_out(World().make(399, seed=1), days=9))
    with pytest.raises(HistoryTooShort, match="minutes"):
        run(World(rate=200.0).make(500, seed=1))


@pytest.mark.parametrize("quality", [0.0, -0.2])
def test_alarms_are_counted_as_the_detector_raises_them(reference, quality):
    """For every budget the same alarms as stepping the live detector, whatever falls and rises again."""
    parts = [World(quality=quality * (k % 2), start=6e5 + 6000.0 * k).make(300, seed=k) for k in range(6)]
    minutes = []
    for part in parts:
        minutes += sorted(fold(reference, part).items(), key=lambda item: item[0].minute)
    stream = Stream(reference, [(1.0, bucket) for _, bucket in minutes], 1.0)
    budgets = [0.1, 1.0, 50.0]
    expected = []
    for budget in budgets:
        detector, raised = Detector(reference, budget), 0
        evidence = detector.start()
        for _, bucket in stream.minutes:
            before = evidence.alarmed
            evidence = detector.advance(evidence, bucket, minutes=1.0, now=1.0)
            raised += evidence.alarmed and not before
        expected.append(raised)
    assert count_alarms(stream, budgets).tolist() == expected
    assert any(expected) == bool(quality)


def rate(budget: float, low: float) -> Rate:
    """Make a rate of which only budget and lower end matter."""
    return Rate(budget=budget, alarms=1, days=30.0, per_month=low, low=low, high=9.0)


def test_the_budget_is_lowered_only_beyond_chance():
    """The wanted one unless it is surely exceeded; then the largest that is not."""
    rates = [rate(0.1, 0.0), rate(0.5, 0.9), rate(1.0, 1.4), rate(2.0, 3.0)]
    assert propose(rates, [], Detection(), 1e4).false_alarms_per_month == 0.5
    assert propose([rate(0.1, 0.0), rate(1.0, 0.9)], [], Detection(), 1e4).false_alarms_per_month == 1.0
    assert propose([rate(0.1, 2.0), rate(1.0, 3.0)], [], Detection(), 1e4).false_alarms_per_month == 0.1


def test_thresholds_rise_to_noise_that_has_evidence_and_no_other():
    """Noise of any size without evidence changes nothing."""
    loud = Signal(value=0.3, tier=Tier.OK, effect=-0.31, p_value=0.4)
    sure = msgspec.structs.replace(loud, p_value=1e-6)
    rates = [rate(1.0, 0.0)]
    same = propose(rates, [{"reward": loud, "length": loud}] * 50, Detection(), 1e4)
    assert same.thresholds == Detection().thresholds
    raised = propose(rates, [{"reward": sure, "length": loud}] * 50, Detection(), 1e4).thresholds
    assert (raised.reward_minor, raised.effect_minor) == (0.31, 0.2)
    assert raised.reward_critical == pytest.approx(0.93)


def test_quiet_traffic_gets_a_longer_window():
    """Twice the fewest exchanges on average, a day at most."""
    rates = [rate(1.0, 0.0)]
    assert propose(rates, [], Detection(), 240.0).window_hours == 10.0
    assert propose(rates, [], Detection(), 10.0).window_hours == 24.0
    assert propose(rates, [], Detection(), 1e5).window_hours == 1.0
    assert np.isfinite(propose(rates, [], Detection(window_hours=48.0), 10.0).window_hours)
