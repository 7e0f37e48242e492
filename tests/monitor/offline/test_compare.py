"""Comparing two files once: the two-sample test decides whether, the verdict says what."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.baseline import BaselineError, build_baseline
from monitor.contract import Cause, Direction, Tier, Verdict
from monitor.contract.config import BaselineConfig, Detection
from monitor.evidence.twosample import TwoSample, join
from monitor.offline.backtest import backtest, timed
from monitor.offline.compare import compare, findings_of
from monitor.sketch.scored import Scored
from tests.monitor.synthetic import World, sampled


def compared(
    world: World, n: int = 150, alpha: float = 0.01, baseline: World | None = None, m: int = 250
) -> Verdict:
    """Compare a world with the plain one."""
    return compare(
        (baseline or World()).make(m, seed=1),
        world.make(n, seed=2),
        scorer="synthetic",
        alpha=alpha,
        learning=BaselineConfig(clusters=8),
        detection=Detection(),
        now=9.0,
    )


@pytest.mark.parametrize(
    ("world", "tier", "direction", "cause"),
    [
        (World(quality=-0.16), Tier.CRITICAL, Direction.DEGRADED, Cause.MODEL),
        (World(quality=0.12), Tier.IMPROVED, Direction.IMPROVED, Cause.MODEL),
        (World(refusals=0.3), Tier.CRITICAL, Direction.DEGRADED, Cause.MODEL),
        (World(shares=(0.15, 0.15, 0.3, 0.4)), Tier.OK, Direction.NEUTRAL, Cause.TRAFFIC),
        (World(shares=(0.4, 0.3, 0.2, 0.1, 1.0)), Tier.CRITICAL, Direction.NEUTRAL, Cause.TRAFFIC),
    ],
    ids=["worse", "better", "refusing", "other mix", "new topic"],
)
def test_each_change_has_its_verdict(world: World, tier: Tier, direction: Direction, cause: Cause):
    """Tier, direction and cause of known changes."""
    found = compared(world)
    assert (found.tier, found.direction, found.cause, found.drifted) == (tier, direction, cause, True)
    assert found.n == {"baseline": 250, "window": 150}


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_longer_conversations_before_the_same_questions(share: float):
    """Earlier turns are what the model is given to read, too: other traffic, nobody's fault."""
    made = World().make(300, seed=2)
    longer = [
        msgspec.structs.replace(e, context_chars=9000 if i < share * 300 else 0)
        for i, e in enumerate(made.exchanges)
    ]
    found = compare(
        World().make(400, seed=1),
        made._replace(exchanges=longer),
        scorer="synthetic",
        alpha=0.01,
        learning=BaselineConfig(clusters=8),
        detection=Detection(),
        now=9.0,
    )
    assert (found.tier, found.direction, found.cause) == (Tier.MINOR, Direction.NEUTRAL, Cause.TRAFFIC)
    assert found.signals["prompt_length"].tier is Tier.MINOR
    assert "what the model is given to read" in found.headline


@pytest.mark.parametrize(
    "words",
    ["Claro que eso depende de varios factores", "Да, это зависит от многих причин", "それは場合によります"],
    ids=["Spanish", "Russian", "Japanese"],
)
def test_answers_in_another_language_are_named_so(words: str):
    """A fifth of the answers."""
    made = World().make(300, seed=2)
    english = "It is the case that this depends on what they have and how much of it there was. "
    answers = {True: words + ". ", False: english}

    def told(scored: Scored, share: int) -> Scored:
        said = (answers[i % 10 < share] * (2 + i % 3) for i in range(len(scored.exchanges)))
        rows = [msgspec.structs.replace(e, response=s) for e, s in zip(scored.exchanges, said, strict=True)]
        return scored._replace(exchanges=rows)

    found = compare(
        told(World().make(400, seed=1), 0),
        told(made, 2),
        scorer="synthetic",
        alpha=0.01,
        learning=BaselineConfig(clusters=8),
        detection=Detection(),
        now=9.0,
    )
    assert found.signals["language"].tier is Tier.MINOR
    assert "language of the answers" in " ".join(found.reasons)


def test_no_change():
    """Two draws of one world are ok and not drifted."""
    found = compared(World())
    assert (found.tier, found.drifted, found.cause) == (Tier.OK, False, Cause.NONE)
    assert found.time == 9.0


def many(seed: int, n: int) -> Scored:
    """Draw traffic of users who ask up to six times, each prompt a text of its own."""
    stream = World(rate=0.0).make(n, seed)
    exchanges = [
        msgspec.structs.replace(e, user=f"{seed}-{i // 6}", prompt=f"{e.prompt} {seed} {i}")
        for i, e in enumerate(stream.exchanges)
    ]
    return stream._replace(exchanges=exchanges)


def flooded(stream: Scored, share: float, *, by_user: bool) -> Scored:
    """Replace a share of a stream by one user on a topic of their own, or by one prompt again and again."""
    n = len(stream.exchanges)
    own = World(shares=(0, 0, 0, 0, 1.0)).make(n, seed=70)
    theirs = np.random.default_rng(5).random(n) < share
    one = stream.prompt[0]
    prompt = np.where(theirs[:, None], own.prompt if by_user else one, stream.prompt)
    response = np.where(theirs[:, None], own.response, stream.response) if by_user else stream.response
    exchanges = [
        e
        if not flood
        else msgspec.structs.replace(e, user="busy")
        if by_user
        else msgspec.structs.replace(e, prompt=stream.exchanges[0].prompt)
        for e, flood in zip(stream.exchanges, theirs.tolist(), strict=True)
    ]
    return stream._replace(exchanges=exchanges, prompt=prompt, response=response)


def between(baseline: Scored, window: Scored) -> Verdict:
    """Compare two streams."""
    return compare(
        baseline,
        window,
        scorer="synthetic",
        alpha=0.01,
        learning=BaselineConfig(clusters=8),
        detection=Detection(),
        now=9.0,
    )


@pytest.mark.parametrize("by_user", [True, False], ids=["user", "prompt"])
def test_what_fills_the_window_is_a_matter_of_data_quality(*, by_user: bool):
    """Four in ten exchanges of one user, or of one prompt, are neither the population's drift nor the model's."""
    window = flooded(many(2, 240), 0.4, by_user=by_user)
    found = between(many(1, 300), window)
    name = "flood" if by_user else "duplicates"
    assert (found.drifted, found.cause) == (True, Cause.DATA_QUALITY)
    assert found.signals[name].tier is Tier.MINOR
    assert found.signals[name].value == pytest.approx(0.4, abs=0.06)
    assert found.direction is Direction.NEUTRAL
    if by_user:
        assert "user busy" in found.signals[name].note


def test_a_change_that_a_flood_does_not_explain():
    """A tenth of one user's exchanges is no excuse for answers that all became different."""
    window = flooded(many(2, 240), 0.3, by_user=True)
    turned = World(rate=0.0, turn=0.5, quality=-0.2).make(240, 2)
    found = between(many(1, 300), window._replace(response=turned.response, reward=turned.reward))
    assert found.cause is not Cause.DATA_QUALITY
    assert found.drifted


def test_users_without_a_flood_change_nothing():
    """Other users on either side, as busy as the others, are nothing to report."""
    found = between(many(1, 300), many(2, 240))
    assert (found.tier, found.drifted, found.cause) == (Tier.OK, False, Cause.NONE)
    assert found.signals["flood"].value < 0.1


def test_tiny_windows_are_blind():
    """Nineteen exchanges cannot be judged; twenty can."""
    assert compared(World(), n=19).tier is Tier.BLIND
    assert compared(World(), n=20).tier is Tier.OK


def test_a_baseline_too_thin():
    """A baseline of a few exchanges is refused."""
    with pytest.raises(BaselineError, match="at least 50"):
        compared(World(), m=30)


def test_the_whole_level_is_divided_among_families():
    """Drift is the combined p-value at alpha; a family shows at its own share of it."""
    found = findings_of(TwoSample({"traffic": 0.2, "behaviour": 0.005, "service": 0.9}, 0.0083), 0.01)
    assert (found.drifted, found.behaviour, found.traffic, found.service) == (True, True, False, False)
    assert found.signal_level == 0.01
    weak = findings_of(TwoSample({"traffic": 0.2, "behaviour": 0.02}, 0.03), 0.01)
    assert not weak.drifted


def test_an_empty_window():
    """No exchanges at all are blind, not an error."""
    nothing = World().make(3, seed=2).take(np.zeros(0, dtype=np.intp))
    found = compare(
        World().make(100, seed=1),
        nothing,
        scorer="s",
        alpha=0.01,
        learning=BaselineConfig(clusters=4),
        detection=Detection(),
        now=0.0,
    )
    assert found.tier is Tier.BLIND


def rewarded(n: int, change: Callable[[NDArray[np.float32]], NDArray[np.float32]], seed: int = 1) -> Scored:
    """Draw exchanges that carry their rewards, as another scorer would have given them."""
    scored = World().make(n, seed=seed)
    rewards = change(scored.reward)
    exchanges = [
        msgspec.structs.replace(e, reward=float(r)) for e, r in zip(scored.exchanges, rewards, strict=True)
    ]
    return scored._replace(exchanges=exchanges, reward=rewards)


def judged(baseline: Scored, window: Scored) -> Verdict:
    """Compare two sets of exchanges."""
    return compare(
        baseline,
        window,
        scorer="s",
        alpha=0.01,
        learning=BaselineConfig(clusters=8),
        detection=Detection(),
        now=9.0,
    )


@pytest.mark.parametrize("shift", [-0.16, 0.16], ids=["lower", "higher"])
def test_equal_texts_with_other_rewards_are_another_scorer(shift: float):
    """Neither a worse model nor a better one: somebody else scored."""
    found = judged(rewarded(300, lambda r: r), rewarded(300, lambda r: r + np.float32(shift)))
    assert (found.cause, found.tier, found.drifted) == (Cause.SCORER, Tier.MINOR, True)
    assert found.direction is Direction.NEUTRAL
    reward = found.signals["reward"]
    assert reward.window_mean is not None
    assert reward.baseline_mean is not None
    assert reward.window_mean - reward.baseline_mean == pytest.approx(shift, abs=0.01)


def test_a_model_that_answers_worse_is_not_the_scorer():
    """Most answers are as they were, with the same rewards; the others are worse: it is the model."""
    baseline, window = rewarded(300, lambda r: r), rewarded(300, lambda r: r)
    worse = World(quality=-0.3, same_prompts=1).make(300, seed=7)
    rows = np.arange(150)
    exchanges = [
        msgspec.structs.replace(e, reward=float(r))
        for e, r in zip(worse.exchanges, worse.reward, strict=True)
    ]
    mixed = join(window.take(rows), worse._replace(exchanges=exchanges).take(rows + 150))
    found = judged(baseline, mixed)
    assert (found.cause, found.direction) == (Cause.MODEL, Direction.DEGRADED)


def test_rewards_of_a_file_and_of_a_scorer_are_not_compared():
    """A reward drop between two sources is no drop."""
    found = judged(rewarded(300, lambda r: r + np.float32(0.3)), World().make(300, seed=2))
    assert (found.tier, found.drifted) == (Tier.OK, False)
    assert "reward" not in found.signals
    assert any("rewards are not compared" in caveat for caveat in found.caveats)


@pytest.mark.parametrize("seed", range(3))
def test_several_answers_to_each_prompt(seed: int):
    """Other prompts of the same kind, each asked six times on its side, are neither new topics nor another model."""
    found = between(sampled(World(), 60, 6, 10 + seed), sampled(World(), 60, 6, 20 + seed))
    assert (found.tier, found.drifted, found.cause) == (Tier.OK, False, Cause.NONE)
    assert found.signals["new_clusters"].value < 0.2


def asked_alike(world: World, n: int, seed: int) -> Scored:
    """Draw answers to one and the same prompt."""
    made = world.make(n, seed)
    exchanges = [msgspec.structs.replace(e, prompt="Tell me something.") for e in made.exchanges]
    return made._replace(exchanges=exchanges, prompt=np.repeat(made.prompt[:1], n, axis=0))


@pytest.mark.parametrize("quality", [0.0, -0.2])
def test_one_prompt_for_all(quality: float):
    """A file of answers to one prompt has no traffic to test; its answers are tested all the same."""
    before, after = (
        asked_alike(World(rate=0.0), 200, 1),
        asked_alike(World(rate=0.0, quality=quality), 200, 2),
    )
    found = between(before, after._replace(prompt=before.prompt))
    assert found.drifted == bool(quality)
    assert found.cause is (Cause.MODEL if quality else Cause.NONE)


def test_one_exchange_again_and_again():
    """Where everything is the same, nothing can be told apart."""
    one = World(rate=0.0).make(1, 1).take(np.zeros(80, dtype=np.intp))
    found = between(one, one)
    assert (found.tier, found.drifted) == (Tier.OK, False)


def test_rewards_alone_that_fall():
    """Answers as before that are right less often: another model, and worse."""
    sides = []
    for seed, right in ((1, 0.9), (2, 0.75)):
        made = World().make(400, seed)
        reward = (np.random.default_rng(seed).random(400) < right).astype(np.float32)
        exchanges = [
            msgspec.structs.replace(e, reward=float(r)) for e, r in zip(made.exchanges, reward, strict=True)
        ]
        sides.append(made._replace(exchanges=exchanges, reward=reward))
    found = between(*sides)
    assert (found.drifted, found.cause, found.direction) == (True, Cause.MODEL, Direction.DEGRADED)
    assert findings_of(TwoSample({"behaviour": 0.9, "reward": 1e-4}, 1e-3), 0.01).behaviour


@pytest.mark.parametrize("scale", [0.002, 1.0, 10.0])
def test_rewards_of_files_are_judged_alike_in_any_unit(scale: float):
    """The scorer's error between models is not theirs: 30 % less is critical for rewards around 0.001, too."""

    def given(world: World, seed: int) -> Scored:
        scored = world.make(300, seed=seed)
        rewards = scored.reward * np.float32(scale)
        pairs = zip(scored.exchanges, rewards.tolist(), strict=True)
        exchanges = [msgspec.structs.replace(e, reward=r) for e, r in pairs]
        return scored._replace(exchanges=exchanges, reward=rewards)

    before, after = given(World(), 1), given(World(quality=-0.19), 2)
    found = judged(before, after)
    assert (found.tier, found.direction) == (Tier.CRITICAL, Direction.DEGRADED)
    assert found.signals["reward"].tier is Tier.CRITICAL
    assert found.signals["reward"].note == ""
    learnt = build_baseline(
        before, route="default", scorer="s", settings=BaselineConfig(clusters=8), created=1.0
    )
    stream = after._replace(exchanges=timed(after.exchanges))
    assert backtest(learnt, stream, detection=Detection()).final.signals["reward"].tier is Tier.CRITICAL
