"""The two-sample test keeps its level on any pair of files, uses pairs of equal prompts, and blames the right side."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.evidence import twosample
from monitor.evidence.contrasts import Block
from monitor.evidence.twosample import (
    TwoSample,
    combined_p,
    compare_samples,
    family_level,
    join,
    permutation_p,
    repeated_prompts,
)
from monitor.sketch.scored import Scored
from tests.monitor.synthetic import World, sampled


class Visits(World):
    """Traffic of users who ask six times and stay on their topic."""

    def _topics(self, rng: np.random.Generator, n: int) -> NDArray[np.intp]:
        visits = -(-n // 6)
        return np.repeat(rng.choice(len(self.shares), visits, p=np.array(self.shares) / sum(self.shares)), 6)[
            :n
        ]


def test_p_values_without_change():
    """Over twenty pairs of driftless files p-values are as rare as they say."""
    found = [compare_samples(World().make(60, seed=s), World().make(50, seed=500 + s)) for s in range(20)]
    p = np.array([t.p_value for t in found])
    # The 99.9 % points of binomial(20, .05) and binomial(20, .01) are 5 and 2.
    assert (p <= 0.05).sum() <= 5
    assert (p <= 0.01).sum() <= 2
    for family in ("traffic", "behaviour", "service"):
        q = np.array([t.families[family] for t in found])
        assert (q <= 0.05).sum() <= 5
        assert q.mean() > 0.35


@pytest.mark.parametrize(
    ("world", "family"),
    [
        (World(shares=(0.1, 0.1, 0.2, 0.6)), "traffic"),
        (World(shares=(0.4, 0.3, 0.2, 0.1, 0.4)), "traffic"),
        (World(quality=-0.1), "behaviour"),
        (World(length=1.6), "behaviour"),
        (World(refusals=0.2), "behaviour"),
        (World(latency_s=1.5), "service"),
    ],
    ids=["mix", "new topic", "worse", "longer", "refusals", "slower"],
)
def test_each_change_is_found_in_its_family(world: World, family: str):
    """A change among 150 exchanges is certain, and lies where it was made."""
    found = compare_samples(World().make(200, seed=1), world.make(150, seed=2))
    assert found.p_value < 2e-3
    assert min(found.families, key=lambda name: found.families[name]) == family


@pytest.mark.parametrize("seed", range(2))
def test_equal_prompts_find_a_shift_that_others_would_not(seed: int):
    """On paired files each answer is compared with the other answer to its question."""
    world = World(same_prompts=seed)
    paired = compare_samples(world.make(120, 10 + seed), world.but(turn=0.07).make(120, 90 + seed))
    apart = compare_samples(World().make(120, 10 + seed), World(turn=0.07).make(120, 90 + seed))
    assert paired.families["behaviour"] < 0.01 < apart.families["behaviour"]
    assert paired.families["traffic"] > 0.5


def test_other_questions_do_not_blame_the_answers():
    """Where the mix changed beyond doubt, answers are compared within strata of likely origin.

    Strata are not exact: about one pair in fifteen of such files is below 0.01.
    """
    blamed = 0
    for seed in range(6):
        found = compare_samples(
            World().make(150, seed), World(shares=(0.15, 0.15, 0.3, 0.4)).make(120, 900 + seed)
        )
        assert found.families["traffic"] < 0.01
        blamed += found.families.get("behaviour", 1.0) <= 0.01
    assert blamed <= 2


def test_other_answers_to_other_questions_are_found():
    """A changed mix does not hide worse answers."""
    changed = World(shares=(0.15, 0.15, 0.3, 0.4), quality=-0.15)
    found = compare_samples(World().make(200, seed=1), changed.make(200, seed=2))
    assert found.families["traffic"] < 0.01
    assert found.families["behaviour"] < 0.01


def pooled_side(n: int, seed: int) -> Scored:
    """Draw n exchanges whose prompts come from one pool of a hundred."""
    pool, stream = World().make(100, seed=77), World().make(n, seed)
    rows = np.random.default_rng([8, seed]).integers(0, 100, n)
    exchanges = [
        msgspec.structs.replace(e, prompt=f"{pool.exchanges[row].prompt} {row}")
        for e, row in zip(stream.exchanges, rows.tolist(), strict=True)
    ]
    return stream._replace(exchanges=exchanges, prompt=pool.prompt[rows])


def test_repeated_prompts_in_files_of_different_length(monkeypatch: pytest.MonkeyPatch):
    """Beyond the row limit prompts asked often are thinned alike on both sides: no change of mix appears."""
    monkeypatch.setattr(twosample, "_ROWS", 150)
    found = [compare_samples(pooled_side(160, s), pooled_side(500, 50 + s)).families for s in range(4)]
    assert sum(f["traffic"] <= 0.05 for f in found) <= 2


def test_long_files_keep_their_pairs(monkeypatch: pytest.MonkeyPatch):
    """Thinning keeps the same questions on both sides."""
    monkeypatch.setattr(twosample, "_ROWS", 40)
    world = World(same_prompts=1)
    a, b = (twosample._thin(world.make(100, seed)) for seed in (1, 2))
    assert [e.prompt for e in a.exchanges] == [e.prompt for e in b.exchanges]
    assert len(a.exchanges) == 40


def test_prompts_alone_can_be_compared():
    """Without answers there is no behaviour to test, and traffic still is."""

    def silent(world: World, seed: int) -> Scored:
        stream = world.make(100, seed)
        exchanges = [msgspec.structs.replace(e, response=None, latency_s=None) for e in stream.exchanges]
        return Scored(
            exchanges, stream.prompt, np.zeros_like(stream.response), np.full(100, np.nan, np.float32), {}
        )

    found = compare_samples(silent(World(), 1), silent(World(shares=(0, 0, 0.2, 0.8)), 2))
    assert "behaviour" not in found.families
    assert found.families["traffic"] < 1e-3


def test_too_few_exchanges_are_not_tested():
    """Nineteen exchanges prove nothing."""
    found = compare_samples(World().make(100, seed=1), World(quality=-0.5).make(19, seed=2))
    assert found == TwoSample({}, 1.0)


def test_the_same_files_give_the_same_p_value():
    """Permutations are drawn from a seed."""
    one, two = (compare_samples(World().make(60, seed=1), World().make(60, seed=2)) for _ in range(2))
    assert one == two


def test_families_share_the_level():
    """Weighted Bonferroni: the whole is significant exactly when a family is at its own level."""
    families = {"traffic": 0.002, "behaviour": 0.5, "service": 0.9}
    assert combined_p(families) == pytest.approx(0.002 / 0.3)
    assert family_level("traffic", families, 0.01) == pytest.approx(0.003)
    assert combined_p(families | {"reward": 0.002}) == pytest.approx(0.002 * 1.3 / 0.3)
    assert combined_p({"behaviour": 0.008}) == pytest.approx(0.008)
    assert combined_p({}) == 1.0


def visited(n: int, seed: int, *, named: bool, busy: bool = False, quality: float = 0.0) -> Scored:
    """Draw n exchanges of `Visits`; `busy`: every third visit is of one and the same user."""
    stream = Visits(quality=quality).make(n, seed)
    names = ["busy" if busy and i // 6 % 3 == 0 else f"{seed}-{i // 6}" for i in range(n)]
    exchanges = [
        msgspec.structs.replace(e, user=name if named else None)
        for e, name in zip(stream.exchanges, names, strict=True)
    ]
    return stream._replace(exchanges=exchanges)


def test_users_are_the_witnesses():
    """Users who stay on their topic make files of driftless traffic differ; flipping whole users keeps the level."""
    apart, as_users = [], []
    for seed in range(20):
        for named, found in ((False, apart), (True, as_users)):
            sides = (visited(120, s, named=named) for s in (seed, 500 + seed))
            found.append(compare_samples(*sides).families["traffic"])
    assert sum(p <= 0.05 for p in apart) >= 8
    # The 99.9 % point of binomial(20, .05) is 5.
    assert sum(p <= 0.05 for p in as_users) <= 5


def test_a_change_in_many_users_is_found():
    """What most users show is a change of the population, clusters or not."""
    worse = visited(200, 2, named=True, quality=-0.15)
    found = compare_samples(visited(200, 1, named=True), worse)
    assert found.families["behaviour"] < 0.01


def test_one_busy_user_is_one_witness():
    """A user who sends a third of the window on a topic of their own is not the population."""
    own = World(shares=(0, 0, 0, 0, 1.0)).make(200, seed=3)
    window = visited(200, 4, named=True, busy=True)
    theirs = [i for i, e in enumerate(window.exchanges) if e.user == "busy"]
    prompt, response = window.prompt.copy(), window.response.copy()
    prompt[theirs], response[theirs] = own.prompt[theirs], own.response[theirs]
    flooded = window._replace(prompt=prompt, response=response)
    assert compare_samples(visited(200, 5, named=True), flooded).p_value > 0.01
    unnamed = flooded._replace(exchanges=[msgspec.structs.replace(e, user=None) for e in flooded.exchanges])
    assert compare_samples(visited(200, 5, named=False), unnamed).p_value < 1e-3


def test_users_who_say_nothing_change_nothing():
    """Where every user sent one exchange, or one user all of a side, the result is that of files without users."""
    plain = World().make(60, seed=1), World(length=1.2).make(60, seed=2)
    expected = compare_samples(*plain)
    for name in ("{side}-{i}", "{side}", "all"):
        named = [
            stream._replace(
                exchanges=[
                    msgspec.structs.replace(e, user=name.format(side=side, i=i))
                    for i, e in enumerate(stream.exchanges)
                ]
            )
            for side, stream in enumerate(plain)
        ]
        assert compare_samples(*named) == expected


def test_missing_rewards_are_no_rewards_of_zero():
    """A window of which half the rewards are missing has not become worse."""
    window = World().make(150, seed=2)
    reward = window.reward.copy()
    reward[::2] = np.nan
    found = compare_samples(World().make(200, seed=1), window._replace(reward=reward))
    assert found.families["behaviour"] > 0.01


def test_joining_keeps_rows_and_errors_in_place():
    """The second file's errors move with its rows."""
    a, b = World().make(3, seed=1), World().make(2, seed=2)._replace(errors={1: "refused"})
    both = join(a, b)
    assert [e.id for e in both.exchanges] == [e.id for e in (*a.exchanges, *b.exchanges)]
    assert both.errors == {4: "refused"}
    assert both.reward.tolist() == [*a.reward.tolist(), *b.reward.tolist()]


@pytest.mark.parametrize("peak", [False, True], ids=["sum", "largest"])
@pytest.mark.parametrize("dimensions", [1, 2, 8])
def test_tails_of_few_dimensions_are_not_cut_short(dimensions: int, *, peak: bool):
    """Sums of squares, and the largest, of few numbers have p-values as rare as they say, far out as well."""
    rng = np.random.default_rng(dimensions)
    contrast = rng.permutation(np.repeat([1.0, -1.0], 60)) / 60.0
    contrasts = np.stack([contrast, *(rng.permutation(contrast) for _ in range(400))])
    p = []
    for _ in range(300):
        block = Block(rng.standard_normal((120, dimensions)), peak=peak)
        p.append(permutation_p([block], contrasts))
    tail = np.array(p)
    # The 99.9 % points of binomial(300, .05), (300, .01) and (300, .001).
    assert (tail <= 0.05).sum() <= 28
    assert (tail <= 0.01).sum() <= 10
    assert (tail <= 0.001).sum() <= 3
    assert (tail <= 0.05).sum() >= 4


def test_samples_of_a_prompt_are_one_witness():
    """Four answers to each prompt, and no prompt on both sides, are no change; permuting answers made it one."""
    found = [
        compare_samples(sampled(World(), 40, 4, 2 * s + 1), sampled(World(), 40, 4, 2 * s + 2))
        for s in range(12)
    ]
    # The 99.9 % point of binomial(12, .05) is 4.
    assert sum(t.families["traffic"] <= 0.05 for t in found) <= 4
    assert sum(t.families["behaviour"] <= 0.05 for t in found) <= 4
    assert sum(t.p_value <= 0.01 for t in found) <= 1


def test_samples_of_another_model_are_found():
    """Several answers to the same prompts by a model that answers otherwise are told apart."""
    after = sampled(World(turn=0.1), 40, 4, 3)
    exchanges = [msgspec.structs.replace(e, id=f"after {e.id}") for e in after.exchanges]
    found = compare_samples(sampled(World(), 40, 4, 3), after._replace(exchanges=exchanges))
    assert found.families["behaviour"] < 0.005
    assert found.families["traffic"] > 0.05


def test_rounding_is_no_change_of_equal_prompts():
    """Each prompt is on both sides as often, and embeddings of equal texts differ by their batch's rounding."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        sides = [sampled(World(), 40, 4, 3), sampled(World(), 40, 4, 3)]
        rounded = [
            side._replace(
                prompt=(side.prompt * (1 + 1e-7 * rng.standard_normal(side.prompt.shape))).astype(np.float32)
            )
            for side in sides
        ]
        assert compare_samples(*rounded).families["traffic"] == 1.0


def test_pairs_of_prompts_are_permuted():
    """Where each prompt is asked once a side, prompts are no witnesses; and too few of them never are."""
    world = World(same_prompts=1)
    sides = world.make(60, 1), world.make(60, 2)
    label = np.arange(120) >= 60
    assert repeated_prompts(join(*sides), label) is None
    twice = join(sides[0].take(np.r_[0, np.arange(59)]), sides[1])
    assert repeated_prompts(twice, label) is not None
    few = join(sides[0].take(np.arange(60) % 11), sides[1].take(np.arange(60) % 11))
    assert repeated_prompts(few, label) is None


def rated(n: int, seed: int, right: float) -> Scored:
    """Draw exchanges whose files say of each whether it was right, and nothing else of them changes."""
    made = World(rate=0.0).make(n, seed)
    reward = (np.random.default_rng([5, seed]).random(n) < right).astype(np.float32)
    exchanges = [
        msgspec.structs.replace(e, reward=float(r)) for e, r in zip(made.exchanges, reward, strict=True)
    ]
    return made._replace(exchanges=exchanges, reward=reward)


def test_given_rewards_are_a_family_of_their_own():
    """Nine in ten right, then three in four: certain by the rewards, and by nothing else."""
    for seed in range(2):
        found = compare_samples(rated(400, 10 + seed, 0.9), rated(400, 20 + seed, 0.76))
        assert found.families["reward"] < 2e-3
        assert found.p_value < 0.01
    scored = compare_samples(World().make(60, 1), World().make(60, 2))
    assert "reward" not in scored.families


def test_given_rewards_without_change():
    """Over forty pairs of driftless files the rewards' p-values are as rare as they say; equal rewards have none."""
    p = np.array(
        [compare_samples(rated(50, s, 0.7), rated(50, 500 + s, 0.7)).families["reward"] for s in range(40)]
    )
    # The 99.9 % points of binomial(40, .05) and binomial(40, .01).
    assert (p <= 0.05).sum() <= 8
    assert (p <= 0.01).sum() <= 3
    assert p.mean() > 0.35
    assert "reward" not in compare_samples(rated(50, 1, 1.1), rated(50, 2, 1.1)).families
