"""Folding puts each exchange into the bucket of its minute, route and arm."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from monitor.baseline import Baseline, build_baseline
from monitor.contract.config import BaselineConfig
from monitor.sketch.bucket import BucketKey
from monitor.sketch.features import extract
from monitor.sketch.fold import SUPPORT, fold, fold_rows
from monitor.sketch.scored import Scored
from tests.monitor.synthetic import World


def test_one_bucket_a_route_arm_and_minute(reference: Baseline):
    """Thirty exchanges a minute over two arms make two buckets a minute, and none is lost."""
    stream = World(rate=30.0, start=600.0).make(90, seed=1)
    arms = [
        msgspec.structs.replace(e, arm="candidate" if i % 3 == 0 else "control")
        for i, e in enumerate(stream.exchanges)
    ]
    buckets = fold(reference, stream._replace(exchanges=arms))
    assert set(buckets) == {
        BucketKey("default", arm, m) for arm in ("control", "candidate") for m in (10, 11, 12)
    }
    assert sum(bucket.n for bucket in buckets.values()) == 90
    assert buckets[BucketKey("default", "candidate", 10)].n == 10


def test_nothing_folds_to_nothing(reference: Baseline):
    """No exchanges, no buckets."""
    assert fold(reference, World().make(3, seed=1).take([])) == {}


def whole(baseline: Baseline, stream: Scored):
    """Fold a stream into one bucket."""
    features = extract(stream)
    rows = np.arange(len(stream.exchanges))
    return fold_rows(baseline, stream, features, baseline.encode(stream, features), rows)


def test_more_of_the_same_has_scores_around_zero(reference: Baseline):
    """On driftless traffic every mean score is within noise of zero: nothing looks new that is not."""
    bucket = whole(reference, World().make(3000, seed=2))
    for name, count in (("prompt_scores", "prompts"), ("response_scores", "supported")):
        means = bucket.read(name) / bucket.count(count)
        # Noise of the window, 1 / sqrt(3000), and of the baseline, 1 / sqrt(1500 / 2) at worst.
        assert np.abs(means).max() < 4 * np.sqrt(1 / 3000 + 2 / 1500)
    assert bucket.count("novel_90") / 3000 == pytest.approx(0.10, abs=0.04)


def test_as_many_prompts_are_supported_as_is_promised():
    """One baseline of 1,500 knows the share to within 0.01, five of them to within 0.005."""
    shares = []
    for seed in range(900, 905):
        stream, settings = World().make(1500, seed=seed), BaselineConfig(clusters=8)
        baseline = build_baseline(stream, route="default", scorer="s", settings=settings, created=1.0)
        shares.append(whole(baseline, World().make(2000, seed=2)).count("supported") / 2000)
    assert np.mean(shares) == pytest.approx(SUPPORT, abs=0.02)


def test_unseen_prompts_have_no_expectation(reference: Baseline):
    """Answers to prompts of a new topic are set apart as unsupported."""
    bucket = whole(reference, World(shares=(0, 0, 0, 0, 1)).make(100, seed=1))
    assert bucket.count("supported") < 15
    assert bucket.total("unsupported") > 85
    assert len(bucket.novel) == 8


def test_missing_rewards_and_times_are_not_zeros(reference: Baseline):
    """Only exchanges with a reward or a time count there."""
    stream = World().make(60, seed=1)
    reward = stream.reward.copy()
    reward[:20] = np.nan
    untimed = [msgspec.structs.replace(e, latency_s=None) for e in stream.exchanges]
    bucket = whole(reference, Scored(untimed, stream.prompt, stream.response, reward, {}))
    assert (bucket.count("rewarded"), bucket.count("timed"), bucket.count("answers")) == (40, 0, 60)
    assert bucket.read("system_scores").tolist() == [0.0, 0.0]
    assert bucket.total("reward") == pytest.approx(float(reward[20:].sum()), abs=0.01)


def test_the_parts_of_an_exchange_that_cannot_be_judged(reference: Baseline):
    """Errors count as exchanges and as errors, and nowhere among the answers."""
    stream = World().make(50, seed=1)
    failed = [msgspec.structs.replace(e, status=503, response=None) for e in stream.exchanges]
    bucket = whole(reference, stream._replace(exchanges=failed))
    assert (bucket.n, bucket.count("errors"), bucket.count("answers"), bucket.count("prompts")) == (
        50,
        50,
        0,
        50,
    )


def test_samples_say_when(reference: Baseline):
    """A sampled exchange keeps its hour since the epoch."""
    bucket = whole(reference, World(rate=1.0, start=100 * 3600.0).make(90, seed=1))
    assert {kept.hour for kept in bucket.sample} == {100, 101}
