"""The verdict in words: one sentence that a person on call understands."""

from __future__ import annotations

from monitor.contract import Attribution, Cause, Direction, Signal, Tier, Verdict
from monitor.verdict.headline import headline, reasons_for

REWARD = Signal(
    value=0.5,
    tier=Tier.CRITICAL,
    unit="reward",
    effect=-0.2,
    baseline_mean=0.65,
    window_mean=0.5,
    p_value=0.0,
)
REFUSAL = Signal(
    value=0.3,
    tier=Tier.MINOR,
    unit="share of answers",
    effect=0.4,
    baseline_mean=0.01,
    window_mean=0.06,
    p_value=1e-9,
)
DIVERGENCE = Signal(value=0.31, tier=Tier.MINOR, unit="bits", effect=0.3, null_mean=0.01, p_value=1e-5)
STYLE = Signal(
    value=0.5, tier=Tier.MINOR, unit="sd of the baseline", effect=-0.5, note="commas", p_value=1e-4
)
CONTROLLED = Signal(
    value=-0.067,
    tier=Tier.MINOR,
    unit="relative change",
    effect=-0.067,
    baseline_mean=0.0,
    window_mean=-0.067,
    p_value=1e-9,
)
QUIET = Signal(value=0.0, tier=Tier.OK)


def verdict(tier: Tier, drifted: bool = True, **signals: Signal) -> Verdict:  # noqa: FBT001, FBT002 - a test's shorthand
    """Make a verdict on 200 exchanges."""
    return Verdict(
        route="support",
        arm="control",
        tier=tier,
        time=0.0,
        drifted=drifted,
        direction=Direction.DEGRADED,
        cause=Cause.MODEL,
        n={"baseline": 1000, "window": 200},
        signals=signals,
    )


def test_nothing_happened():
    """No drift is said with the numbers it rests on."""
    assert headline(verdict(Tier.OK, drifted=False)) == "support: no drift in 200 exchanges against 1000"


def test_a_relative_change_is_told_in_percent():
    """Nobody reads a change of minus seven hundredths."""
    said = headline(verdict(Tier.MINOR, style_controlled_reward=CONTROLLED))
    assert said.endswith(": reward of answers that look alike -6.7 %")


def test_the_worst_signal_leads():
    """The sentence names tier, direction, cause and the worst signal."""
    said = headline(verdict(Tier.CRITICAL, refusal=REFUSAL, reward=REWARD, length=QUIET))
    assert said == (
        "support: critical, worse, the model answers differently: "
        "reward 0.650 → 0.500 (-20.0 % at equal questions)"
    )


def test_too_little_to_act_on():
    """Real and irrelevant."""
    assert "too little to act on (the model answers differently)" in headline(verdict(Tier.OK))


def test_reasons_are_sorted_and_worded():
    """Worst first, then by evidence; each in its own unit; what is ok is no reason."""
    v = verdict(
        Tier.CRITICAL,
        response_style=STYLE,
        response_js=DIVERGENCE,
        refusal=REFUSAL,
        length=QUIET,
        reward=REWARD,
    )
    parts = Attribution(mix=0.01, behaviour=-0.16, unsupported=0.0)
    assert reasons_for(v, parts) == (
        "reward 0.650 → 0.500 (-20.0 % at equal questions)",
        "refusals 1.0 % → 6.0 % of answers",
        "mix of response topics: divergence 0.310, by chance 0.010",
        "style of the answers moved by -0.50 standard deviations (commas)",
        (
            "reward changed by +0.010 because of the questions, -0.160 because of the answers to comparable "
            "questions, +0.000 on questions without comparison"
        ),
    )


def test_no_attribution_no_sentence():
    """Without rewards nothing is divided."""
    assert reasons_for(verdict(Tier.MINOR, refusal=REFUSAL), None) == ("refusals 1.0 % → 6.0 % of answers",)
