"""Learning a baseline: what it needs, what it says of itself, and that it sees itself as it sees new exchanges."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from monitor.baseline import Baseline, BaselineError, build_baseline
from monitor.contract.config import BaselineConfig
from monitor.sketch.features import extract
from monitor.sketch.fold import fold_rows
from monitor.sketch.layout import PROMPT_SCORES
from monitor.sketch.scored import Scored
from monitor.verdict.signals import measure
from tests.monitor.synthetic import World


def learn(scored: Scored, scorer: str = "synthetic", **settings: int) -> Baseline:
    """Learn a baseline with few clusters."""
    config = BaselineConfig(**{"clusters": 8, **settings})
    return build_baseline(scored, route="default", scorer=scorer, settings=config, created=5.0)


def prompts_only(scored: Scored) -> Scored:
    """Return the stream as a history without answers."""
    silent = [msgspec.structs.replace(e, response=None, latency_s=None) for e in scored.exchanges]
    n = len(silent)
    return Scored(
        silent, scored.prompt, np.zeros_like(scored.response), np.full(n, np.nan, np.float32), scored.errors
    )


def test_too_few_exchanges_are_refused():
    """Forty-nine prompts make no baseline, and the message says what would."""
    with pytest.raises(BaselineError, match=r"at least 50 exchanges .* got 49"):
        learn(World().make(49, seed=1))
    with pytest.raises(BaselineError, match="got 0"):
        learn(World().make(49, seed=1).take([]))


def test_exchanges_without_scores_do_not_count():
    """What the scorer refused is no help."""
    stream = World().make(60, seed=1)
    with pytest.raises(BaselineError, match="got 40"):
        learn(stream._replace(errors=dict.fromkeys(range(20), "refused")))


def test_fifty_are_enough():
    """The smallest baseline works, and says that it is small."""
    baseline = learn(World().make(50, seed=1))
    assert baseline.size == 50
    assert "made of 50 exchanges only" in baseline.notes[0]


def test_a_large_one_has_nothing_to_excuse(reference: Baseline):
    """Fifteen hundred exchanges with answers need no caveat."""
    assert reference.notes == ()
    assert reference.size == 1500


def test_the_id_is_stable_and_depends_on_content():
    """The same exchanges and settings give the same id on every run; other ones, or another scorer, another."""
    stream = World().make(200, seed=1)
    ids = [
        learn(stream).id,
        learn(World().make(200, seed=2)).id,
        learn(stream, scorer="other").id,
        learn(stream, clusters=4).id,
        learn(stream, seed=1).id,
    ]
    assert learn(stream).id == ids[0]
    assert len(set(ids)) == len(ids)


def test_a_history_of_prompts_makes_a_baseline():
    """Without answers only prompts can be compared; that is said, and nothing fails on the way."""
    baseline = learn(prompts_only(World().make(300, seed=1)))
    assert any("no answers" in note for note in baseline.notes)
    stream = prompts_only(World(shares=(0.4, 0.3, 0.2, 0.1, 1.0)).make(200, seed=2))
    features = extract(stream)
    window = fold_rows(baseline, stream, features, baseline.encode(stream, features), np.arange(200))
    signals = measure(baseline, window)
    assert signals["new_clusters"].value > 0.3
    assert not {"reward", "length", "response_js", "latency", "refusal"} & signals.keys()


@pytest.mark.parametrize("answers", [0, 1, 30, 60])
def test_some_answers_are_missing(answers: int):
    """Any number of answers beside the prompts can be learnt from."""
    stream = World().make(150, seed=1)
    silent = prompts_only(stream)
    rows = [stream.exchanges[i] if i < answers else silent.exchanges[i] for i in range(len(stream.exchanges))]
    response = np.where(np.arange(150)[:, None] < answers, stream.response, 0).astype(np.float32)
    baseline = learn(stream._replace(exchanges=rows, response=response))
    assert baseline.reference.count("answers") == answers


@pytest.mark.parametrize("m", [100, 400])
def test_it_sees_itself_as_it_sees_new_exchanges(m: int):
    """Shares of novel and supported prompts among its own exchanges are those that new ones have."""
    baseline = learn(World().make(m, seed=1), clusters=32)
    known = baseline.reference
    assert known.count("novel_90") / m == pytest.approx(0.10, abs=0.03)
    assert known.count("supported") / m == pytest.approx(0.95, abs=0.03)
    assert abs(known.read("prompt_scores")[PROMPT_SCORES.index("prompt novelty")]) / m < 0.05
    assert np.abs(known.read("response_scores") / known.count("supported")).max() < 0.1


@pytest.mark.parametrize("m", [120, 500])
def test_driftless_windows_have_no_bias(m: int):
    """Over many windows and baselines the mean of every residual score stays within noise of the baseline's."""
    runs, n, shifts = 5, 1000, []
    for seed in range(runs):
        baseline = learn(World().make(m, seed=100 + seed), clusters=32)
        stream = World().make(n, seed=200 + seed)
        features = extract(stream)
        window = fold_rows(baseline, stream, features, baseline.encode(stream, features), np.arange(n))
        means = [
            bucket.read("response_scores") / bucket.count("supported")
            for bucket in (window, baseline.reference)
        ]
        shifts.append(means[0] - means[1])
    noise = np.sqrt((1 / n + 2 / m) / runs)
    assert np.abs(np.mean(shifts, axis=0)).max() < 4.0 * noise


def test_answers_of_a_minute_and_some_strays_make_a_baseline():
    """Wherever in the baseline's time the answers lie, those held out are as many as those learnt from."""
    stream = World().make(2000, seed=1)
    kept = {10, *range(1000, 1150), 1900}
    exchanges = [
        e if i in kept else msgspec.structs.replace(e, response=None) for i, e in enumerate(stream.exchanges)
    ]
    response = np.where(np.isin(np.arange(2000), list(kept))[:, None], stream.response, 0).astype(np.float32)
    baseline = learn(stream._replace(exchanges=exchanges, response=response))
    assert baseline.reference.count("answers") == len(kept)
    assert baseline.reference.read("response_ranks").sum() == pytest.approx(len(kept) / 2, abs=8)


def test_traffic_of_sessions_is_overdispersed():
    """Topics that stick for ten exchanges make topic scores overdispersed, answers given prompts hardly."""
    baseline = learn(World(sticky=0.9).make(2000, seed=1))
    assert baseline.overdispersion["prompt"][PROMPT_SCORES.index("prompt axis 1")] > 6
    assert baseline.overdispersion["response"].mean() < 1.5
    untimed = World(sticky=0.9, rate=0.0).make(300, seed=1)
    assert set(learn(untimed).overdispersion["prompt"]) == {1.0}


def test_clusters_are_named_by_their_words(reference: Baseline):
    """Every cluster of prompts has words of its topic."""
    assert all(reference.prompt.terms)
    assert len(reference.prompt.terms) == reference.shape[0]
