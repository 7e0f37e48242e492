"""The table of tiers, row by row: a tier needs evidence in the family, evidence in the signal, and an effect."""

from __future__ import annotations

import pytest

from monitor.contract import Signal, Tier
from monitor.contract.config import Thresholds
from monitor.evidence.findings import NOTHING, Findings
from monitor.verdict.signals import SIGNALS
from monitor.verdict.tiers import HYSTERESIS, NEVER_RAISED, RULES, STICKY_LEVEL, grade

EVERYTHING = Findings(
    drifted=True, traffic=True, behaviour=True, service=True, repetition=True, signal_level=0.001
)
OK, IMPROVED, MINOR, CRITICAL = Tier.OK, Tier.IMPROVED, Tier.MINOR, Tier.CRITICAL

# Signal, effect (for rates: points, too), and the tier that it earns with evidence.
EFFECTS = [
    ("new_clusters", 0.09, OK),
    ("new_clusters", 0.10, MINOR),
    ("new_clusters", 0.30, CRITICAL),
    ("prompt_novelty", 0.19, OK),
    ("prompt_novelty", 0.20, MINOR),
    ("prompt_novelty", 3.00, MINOR),
    ("prompt_js", 0.18, MINOR),
    ("prompt_js", 0.25, CRITICAL),
    ("prompt_length", 0.19, OK),
    ("prompt_length", -0.20, MINOR),
    ("response_js", 0.17, OK),
    ("response_js", 0.18, MINOR),
    ("response_given_prompt", -0.19, OK),
    ("response_given_prompt", -0.20, MINOR),
    ("response_style", 0.50, MINOR),
    ("answer_fit", -0.19, OK),
    ("answer_fit", -0.20, MINOR),
    ("answer_fit", 3.00, OK),
    ("reward", -0.049, OK),
    ("reward", -0.05, MINOR),
    ("reward", -0.15, CRITICAL),
    ("reward", 0.049, OK),
    ("reward", 0.05, IMPROVED),
    ("style_controlled_reward", 0.049, OK),
    ("style_controlled_reward", -0.30, MINOR),
    ("style_controlled_reward", 0.30, MINOR),
    ("reward_shape", 0.18, MINOR),
    ("length", -2.0, MINOR),
    ("lists", 0.3, MINOR),
    ("code", -0.3, MINOR),
    ("markdown", 0.3, MINOR),
    ("passive_voice", 0.3, MINOR),
    ("hedging", 0.3, MINOR),
    ("language", -0.3, MINOR),
    ("repetition", 0.3, MINOR),
    ("unfinished", 0.3, MINOR),
    ("latency", 0.3, MINOR),
    ("latency", 9.0, MINOR),
    ("duplicates", 0.09, OK),
    ("duplicates", 0.60, MINOR),
    ("flood", 0.09, OK),
    ("flood", 0.10, MINOR),
]
# Rate, points risen, Cohen's h, tier: critical from ten points on, and only upwards.
RATES = [
    ("refusal", 0.10, 0.4, CRITICAL),
    ("refusal", 0.05, 0.3, MINOR),
    ("refusal", 0.01, 0.1, OK),
    ("refusal", -0.20, -0.6, MINOR),
    ("truncation", 0.12, 0.4, CRITICAL),
    ("truncation", -0.12, -0.4, OK),
    ("empty", 0.05, 0.3, MINOR),
    ("incomplete", 0.10, 0.4, CRITICAL),
    ("errors", 0.02, 0.21, MINOR),
    ("errors", -0.02, -0.21, OK),
]


def signal(effect: float, p: float = 1e-6, **fields: float) -> Signal:
    """Make a signal with this effect."""
    return Signal(value=effect, tier=OK, effect=effect, p_value=p, **fields)


def tier_of(
    name: str, given: Signal, findings: Findings = EVERYTHING, before: Tier = OK, **others: Signal
) -> Tier:
    """Grade one signal among others."""
    graded = grade({name: given, **others}, findings, Thresholds(), {name: before})
    return graded[name].tier


@pytest.mark.parametrize(("name", "effect", "tier"), EFFECTS)
def test_effect_thresholds(name: str, effect: float, tier: Tier):
    """With all the evidence there is, the size of the effect decides."""
    assert tier_of(name, signal(effect)) is tier


@pytest.mark.parametrize(("name", "points", "effect", "tier"), RATES)
def test_rate_thresholds(name: str, points: float, effect: float, tier: Tier):
    """Shares are critical when ten points worse, minor from a small standardised effect on."""
    assert tier_of(name, signal(effect, baseline_mean=0.3, window_mean=0.3 + points)) is tier


@pytest.mark.parametrize(("after", "tier"), [(149.0, OK), (150.0, MINOR), (67.0, OK), (66.0, MINOR)])
def test_what_is_read_is_raised_when_half_as_long_again(after: float, tier: Tier):
    """Other proportions of known topics move the length of prompts, too, and are no news."""
    assert tier_of("prompt_length", signal(1.0, baseline_mean=100.0, window_mean=after)) is tier


@pytest.mark.parametrize(
    ("effect", "after", "tier"), [(-1.0, 0.25, MINOR), (-1.0, 0.27, OK), (1.0, 0.59, OK), (1.0, 0.60, MINOR)]
)
def test_another_language_is_more_than_terse_style(effect: float, after: float, tier: Tier):
    """Function words fewer by a seventh, or other scripts twice as much."""
    assert tier_of("language", signal(effect, baseline_mean=0.3, window_mean=after)) is tier


def test_every_rule_is_tried():
    """No row of the table is without a case above, and every signal has its row."""
    assert {name for name, *_ in (*EFFECTS, *RATES)} == RULES.keys()
    assert RULES.keys() == SIGNALS.keys()
    assert RULES.keys() > NEVER_RAISED


@pytest.mark.parametrize("name", RULES)
def test_effect_without_evidence_is_noise(name: str):
    """However large, an effect is ok while nothing says that it is real: nowhere, in its family, or in itself."""
    large = signal(-9.0 if name in {"reward", "answer_fit"} else 9.0, baseline_mean=0.0, window_mean=1.0)
    assert tier_of(name, large) is not OK
    assert tier_of(name, large, NOTHING) is OK
    families = {f: f != RULES[name].family for f in ("traffic", "behaviour", "service", "repetition")}
    assert tier_of(name, large, Findings(drifted=True, signal_level=0.001, **families)) is OK
    weak = signal(large.effect or 0.0, p=0.0011, baseline_mean=0.0, window_mean=1.0)
    assert tier_of(name, weak) is OK


@pytest.mark.parametrize("name", RULES)
def test_evidence_without_effect_is_irrelevant(name: str):
    """However certain, a tiny effect is ok."""
    assert tier_of(name, signal(0.001, p=0.0, baseline_mean=0.3, window_mean=0.301)) is OK


def test_a_signal_without_p_value_has_no_evidence():
    """What cannot be tested cannot raise a tier."""
    assert tier_of("reward", Signal(value=0.1, tier=OK, effect=-0.5)) is OK


@pytest.mark.parametrize("name", ["response_js", "reward_shape"])
def test_a_divergence_is_critical_only_beside_a_fallen_reward(name: str):
    """Different is not worse: without a worse reward even a large divergence is for review."""
    assert tier_of(name, signal(0.5)) is MINOR
    assert tier_of(name, signal(0.5), reward=signal(0.2)) is MINOR
    assert tier_of(name, signal(0.5), reward=signal(-0.06)) is CRITICAL


@pytest.mark.parametrize(
    ("effect", "before", "after"),
    [
        (-0.045, OK, OK),
        (-0.045, MINOR, MINOR),
        (-0.039, MINOR, OK),
        (-0.13, MINOR, MINOR),
        (-0.13, CRITICAL, CRITICAL),
        (-0.119, CRITICAL, MINOR),
        (-0.045, CRITICAL, MINOR),
    ],
)
def test_a_tier_is_left_less_easily_than_entered(effect: float, before: Tier, after: Tier):
    """Around a threshold the tier stays: it is left below 80 % of what it took to enter."""
    assert HYSTERESIS == 0.8
    assert tier_of("reward", signal(effect), before=before) is after


def test_evidence_of_a_standing_tier_may_weaken():
    """A raised signal keeps its tier up to ten times its level; a new one needs the level itself."""
    weak = signal(-0.2, p=0.9 * STICKY_LEVEL * 0.001)
    assert tier_of("reward", weak) is OK
    assert tier_of("reward", weak, before=CRITICAL) is CRITICAL
    assert tier_of("reward", signal(-0.2, p=0.011), before=CRITICAL) is OK


def test_thresholds_are_configurable():
    """An operator's own threshold decides."""
    graded = grade(
        {"reward": signal(-0.05)}, EVERYTHING, Thresholds(reward_minor=0.02, reward_critical=0.04), {}
    )
    assert graded["reward"].tier is CRITICAL


@pytest.mark.parametrize(
    ("effect", "tier"),
    [(0.12, OK), (0.13, IMPROVED), (-0.07, OK), (-0.08, MINOR), (-0.16, CRITICAL)],
)
def test_a_reward_model_is_believed_beyond_its_error(effect: float, tier: Tier):
    """With an error of 0.1 a loss counts from 0.075 on and a gain from 0.125 on, and what is withheld says why."""
    graded = grade({"reward": signal(effect)}, EVERYTHING, Thresholds(), {}, reward_error=0.1)["reward"]
    assert graded.tier is tier
    assert ("reward model's own error" in graded.note) is (tier is OK)


def test_a_doubted_reward_makes_no_divergence_critical():
    """A fall that the reward model's error could make does not turn a divergence critical either."""
    signals = {"response_js": signal(0.5), "reward": signal(-0.2)}
    for error, tier in ((0.1, CRITICAL), (0.3, MINOR)):
        graded = grade(signals, EVERYTHING, Thresholds(), {}, reward_error=error)
        assert graded["response_js"].tier is tier


def test_a_reward_that_was_no_finding_carries_no_doubt():
    """Without evidence or below the threshold the error is not mentioned."""
    for given, findings in ((signal(-0.2), NOTHING), (signal(-0.01), EVERYTHING)):
        graded = grade({"reward": given}, findings, Thresholds(), {}, reward_error=0.5)["reward"]
        assert (graded.tier, graded.note) == (OK, "")
