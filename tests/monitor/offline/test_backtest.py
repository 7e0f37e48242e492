"""A recorded stream through the very pipeline: when it would have alarmed, about what, and when it would have ended."""

from __future__ import annotations

import itertools

import msgspec
import numpy as np
import pytest

from monitor.baseline import Baseline, build_baseline
from monitor.baseline.seasonality import read_calendar
from monitor.contract import Cause, Direction, Exchange, Tier
from monitor.contract.config import BaselineConfig, Detection
from monitor.evidence.twosample import join
from monitor.offline.backtest import UNTIMED_RATE, Backtest, backtest, timed
from monitor.sketch.scored import Scored
from tests.monitor.synthetic import World, sampled

START = 6e5


def follow(first: Scored, second: Scored) -> Scored:
    """Put one stream after the other, thirty exchanges a minute."""
    both = join(first, second)
    exchanges = [
        msgspec.structs.replace(e, id=f"e{i}", time=START + 2.0 * i) for i, e in enumerate(both.exchanges)
    ]
    return both._replace(exchanges=exchanges)


def run(baseline: Baseline, stream: Scored, **detection: float) -> Backtest:
    """Run a stream with a window of twenty minutes."""
    return backtest(baseline, stream, detection=Detection(**{"window_hours": 1 / 3, **detection}))  # type: ignore[arg-type]


def test_a_quiet_stream(reference: Baseline):
    """No alerts, and the final verdict is ok on the last window."""
    told: list[tuple[int, int]] = []
    result = backtest(
        reference,
        World(start=START).make(2000, seed=1),
        detection=Detection(),
        progress=lambda *a: told.append(a),
    )
    assert result.alerts == ()
    assert (result.exchanges, result.buckets) == (2000, 67)
    assert (result.final.tier, result.final.drifted) == (Tier.OK, False)
    assert told[-1] == (2000, 2000)


def test_the_alert_of_a_change(reference: Baseline):
    """Worse answers from exchange 900 on: the alert comes soon after, names the reward, and says when it began."""
    result = run(reference, follow(World().make(900, seed=1), World(quality=-0.16).make(900, seed=2)))
    first = result.alerts[0]
    assert 900 < first.exchange <= 1110
    assert first.time == START // 60 * 60 + (first.exchange // 30 - 1) * 60.0
    assert (first.tier, first.drifted, first.signal) == (Tier.CRITICAL, True, "reward")
    assert (first.direction, first.cause) == (Direction.DEGRADED, Cause.MODEL)
    assert (first.route, first.arm) == ("default", "control")
    assert "critical, worse" in first.headline
    assert result.final.since == pytest.approx(START + 1800, abs=240)
    assert result.final.tier is Tier.CRITICAL


def test_the_alert_ends_with_the_change(reference: Baseline):
    """After the model is repaired the stream ends quiet, with an alert for the way back."""
    bad = World(quality=-0.16).make(300, seed=2)
    result = run(reference, follow(follow(World().make(300, seed=1), bad), World().make(4500, seed=3)))
    assert result.alerts[0].tier is Tier.CRITICAL
    assert not result.alerts[-1].drifted
    assert (result.final.tier, result.final.drifted) == (Tier.OK, False)


def test_alerts_are_changes(reference: Baseline):
    """No two alerts in a row say the same, and exchanges only rise."""
    result = run(reference, follow(World().make(600, seed=1), World(quality=-0.07).make(1500, seed=2)))
    states = [(a.tier, a.drifted) for a in result.alerts]
    assert states
    assert all(one != two for one, two in itertools.pairwise(states))
    assert [a.exchange for a in result.alerts] == sorted(a.exchange for a in result.alerts)


def test_two_arms_are_judged_apart(reference: Baseline):
    """A bad candidate beside a good control: only the candidate alarms, and is the final verdict."""
    good, bad = World(start=START).make(900, seed=1), World(start=START, arm="candidate", quality=-0.2)
    both = join(good, bad.make(900, seed=2))
    order = np.argsort([e.time for e in both.exchanges], kind="stable")
    result = run(reference, both.take(order))
    assert {a.arm for a in result.alerts} == {"candidate"}
    assert (result.final.arm, result.final.tier) == ("candidate", Tier.CRITICAL)
    assert result.buckets == 60


def test_a_slight_change_in_a_strict_budget(reference: Baseline):
    """A smaller budget of false alarms takes longer to convince."""
    stream = follow(World().make(300, seed=1), World(quality=-0.05).make(1500, seed=2))
    lax, strict = (run(reference, stream, false_alarms_per_month=rate) for rate in (10.0, 0.01))
    assert lax.alerts[0].exchange < strict.alerts[0].exchange


def test_streams_without_times_get_a_rate():
    """Without times ten exchanges a minute are taken; with times they are put in order."""
    rows = [Exchange(id=str(i), time=0.0, prompt="p") for i in range(25)]
    times = [e.time for e in timed(rows)]
    assert np.diff(times) == pytest.approx(60.0 / UNTIMED_RATE)
    # Time 0 says that nobody knows when: what is learnt from the first rows would be taken for untimed.
    assert read_calendar(np.array(times), "UTC").visit.any()
    known = [Exchange(id=str(i), time=float(t), prompt="p") for i, t in enumerate([30, 10, 20])]
    assert [e.id for e in timed(known)] == ["1", "2", "0"]


def test_an_untimed_stream_is_judged(reference: Baseline):
    """A stream taken at the stated rate alarms as any other."""
    stream = join(World(rate=0.0).make(300, seed=1), World(rate=0.0, quality=-0.2).make(300, seed=2))
    stream = stream._replace(exchanges=timed(stream.exchanges))
    result = run(reference, stream)
    assert result.buckets == 60
    assert 300 < result.alerts[0].exchange <= 480


@pytest.mark.parametrize("rate", [0.003, 0.1, 0.2, 0.3])
def test_a_sparse_stream_is_alarmed_and_judged_once(reference: Baseline, rate: float):
    """From one exchange in six hours to one in three minutes: the tier rises within thirty exchanges and never wavers."""
    good, bad = World(rate=0.0).make(60, seed=1), World(rate=0.0, quality=-0.2).make(240, seed=11)
    stream = join(good, bad)
    stream = stream._replace(exchanges=timed(stream.exchanges, rate))
    result = backtest(reference, stream, detection=Detection())
    assert all(alert.drifted for alert in result.alerts)
    concerns = [alert.tier.concern for alert in result.alerts]
    assert concerns == sorted(set(concerns))
    assert 60 < result.alerts[0].exchange <= 80
    assert result.alerts[-1].exchange <= 90
    assert (result.final.tier, result.final.drifted) == (Tier.CRITICAL, True)
    assert result.final.n["window"] == 200
    assert any("few exchanges come" in caveat for caveat in result.final.caveats)


def test_no_stream_is_an_error(reference: Baseline):
    """Nothing to run is said."""
    with pytest.raises(ValueError, match="holds no exchange"):
        backtest(reference, World().make(3, seed=1).take([]), detection=Detection())


def test_a_stream_scored_by_another_scorer_is_the_scorers_fault():
    """The history's own texts with rewards a deviation and a half lower: no alert blames the model."""
    scored = World().make(600, seed=1)

    def carrying(lower: float) -> Scored:
        rewards = scored.reward - np.float32(lower)
        exchanges = [
            msgspec.structs.replace(e, reward=float(r))
            for e, r in zip(scored.exchanges, rewards, strict=True)
        ]
        return scored._replace(exchanges=exchanges, reward=rewards)

    known = carrying(0.0)
    settings = BaselineConfig(clusters=8)
    baseline = build_baseline(known, route="default", scorer="s", settings=settings, created=0.0)
    assert backtest(baseline, known, detection=Detection(), known=known).alerts == ()
    found = backtest(baseline, carrying(0.15), detection=Detection(), known=known)
    assert found.alerts
    assert {alert.cause for alert in found.alerts} == {Cause.SCORER}
    assert (found.final.tier, found.final.cause) == (Tier.MINOR, Cause.SCORER)


def of_users(stream: Scored, busy: float = 0.0) -> Scored:
    """Give a stream users who ask ten times each; a share of it is one user on a topic of their own."""
    n = len(stream.exchanges)
    theirs = np.random.default_rng(6).random(n) < busy
    own = World(shares=(0, 0, 0, 0, 1.0)).make(n, seed=71)
    exchanges = [
        msgspec.structs.replace(e, user="busy" if mine else f"u{e.id[-9:-1]}", prompt=f"{e.prompt} {i:04}")
        for i, (e, mine) in enumerate(zip(stream.exchanges, theirs.tolist(), strict=True))
    ]
    prompt, response = (
        np.where(theirs[:, None], new, old)
        for new, old in ((own.prompt, stream.prompt), (own.response, stream.response))
    )
    return stream._replace(exchanges=exchanges, prompt=prompt, response=response)


def test_one_user_who_floods_the_route():
    """A third of the traffic from one user on another topic is a matter of data quality, and named."""
    config = BaselineConfig(clusters=8)
    learnt = build_baseline(
        of_users(World().make(1500, seed=900)), route="default", scorer="s", settings=config, created=1.0
    )
    quiet, flood = of_users(World().make(900, seed=1)), of_users(World().make(900, seed=2), busy=0.33)
    result = run(learnt, follow(quiet, flood))
    assert result.alerts[0].exchange > 900
    final = result.final
    assert (final.drifted, final.cause) == (True, Cause.DATA_QUALITY)
    assert final.signals["flood"].tier is Tier.MINOR
    assert final.signals["flood"].value == pytest.approx(0.33, abs=0.08)
    assert final.signals["flood"].note == "user busy"


@pytest.mark.parametrize("seed", range(2))
def test_several_answers_to_each_prompt(seed: int):
    """Other prompts of the same kind, each asked six times in a row, raise nothing against a file of such."""
    settings = BaselineConfig(clusters=8)
    known, later = (sampled(World(), 100, 6, 10 * side + seed) for side in (1, 2))
    baseline = build_baseline(known, route="default", scorer="s", settings=settings, created=0.0)
    in_turn = later.take(np.arange(600).reshape(6, 100).T.ravel())
    result = backtest(baseline, in_turn._replace(exchanges=timed(in_turn.exchanges)), detection=Detection())
    assert result.alerts == ()
