"""Anomaly p-values: as rare as they say on exchanges like the baseline's, small on others, with the right reason."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.baseline import Baseline
from monitor.baseline.ordinary import fit_ordinary
from monitor.baseline.single import FEATURES, judge_single, leading, reasons_of
from monitor.sketch.features import extract
from monitor.sketch.scored import Scored
from tests.monitor.synthetic import World

BOTH = np.zeros(5, dtype=np.int8)
EVERY_OTHER = np.arange(1000) % 2 == 0


def features(n: int, seed: int) -> np.ndarray:
    """Draw heavy-tailed, dependent, discrete and partly missing numbers."""
    rng = np.random.default_rng(seed)
    heavy = rng.standard_t(2, size=n)
    columns = np.column_stack(
        [heavy, heavy + rng.standard_normal(n), rng.random(n) < 0.01, rng.exponential(size=n), rng.random(n)]
    ).astype(np.float64)
    columns[rng.random(n) < 0.3, 4] = np.nan
    return columns


@pytest.mark.parametrize("m", [100, 1000])
def test_p_values_are_no_smaller_than_uniform(m: int):
    """Over 20 baselines, new exchanges fall below each level no more often than it says, and nearly as often."""
    for level in (0.05, 0.2, 0.5):
        shares = [
            (
                fit_ordinary(features(m, s), BOTH, EVERY_OTHER[:m]).judge(features(500, 1000 + s)).p_value
                <= level
            ).mean()
            for s in range(20)
        ]
        assert np.mean(shares) <= level + 3 * np.std(shares) / np.sqrt(len(shares))
        assert np.mean(shares) >= 0.6 * level - 1.0 / m


def test_far_out_is_rare_to_its_side_only():
    """A value beyond all is as rare as can be told, and where one side counts the other is nothing."""
    sides = np.array([1, -1, 0, 0, 0], dtype=np.int8)
    ordinary = fit_ordinary(features(800, 1), sides, EVERY_OTHER[:800])
    usual = np.nanmedian(features(800, 1), axis=0)
    rows = np.tile(usual, (4, 1))
    rows[0, 0], rows[1, 0], rows[2, 1], rows[3, 1] = 1e4, -1e4, 1e4, -1e4
    found = ordinary.judge(rows)
    assert found.p_value[[0, 3]] == pytest.approx(1 / 401)
    assert (found.p_value[[1, 2]] > 0.3).all()
    assert found.rising[0, 0] > 10
    assert found.falling[3, 1] > 10


def test_further_out_is_more_unusual():
    """Beyond everything known the total still orders, up to a bound."""
    ordinary = fit_ordinary(features(800, 1), BOTH, EVERY_OTHER[:800])
    rows = np.tile(np.nanmedian(features(800, 1), axis=0), (3, 1))
    rows[:, 3] = [20.0, 30.0, 1e9]
    total = ordinary.judge(rows).total
    assert total[0] < total[1] <= total[2] < 100.0


def test_unknown_numbers_are_not_unusual():
    """An exchange of which nothing is known has p = 1."""
    ordinary = fit_ordinary(features(300, 1), BOTH, EVERY_OTHER[:300])
    assert ordinary.judge(np.full((2, 5), np.nan)).p_value.tolist() == [1.0, 1.0]


def judged(baseline: Baseline, stream: Scored, row: int) -> tuple[str, int, str]:
    """Return the leading feature and side of one exchange, and its first reason."""
    seen = extract(stream)
    unusual = judge_single(baseline, stream, seen, baseline.encode(stream, seen))
    return *leading(unusual, row), reasons_of(unusual, row)[0]


def changed(**facts: object) -> Scored:
    """Return a stream whose first exchange has other facts."""
    import msgspec  # noqa: PLC0415 - only here

    stream = World().make(40, seed=9)
    first = msgspec.structs.replace(stream.exchanges[0], **facts)
    return stream._replace(exchanges=[first, *stream.exchanges[1:]])


def test_reasons_name_what_was_made_unusual(reference: Baseline):
    """One number is pushed far out at a time, and that one is named, with its direction."""
    stream = World().make(40, seed=9)
    low, high = stream.reward.copy(), stream.reward.copy()
    low[0], high[0] = -3.0, 4.0
    assert judged(reference, stream._replace(reward=low), 0)[:2] == ("reward", -1)
    assert judged(reference, stream._replace(reward=high), 0)[:2] == ("reward", 1)
    assert "below" in judged(reference, stream._replace(reward=low), 0)[2]
    assert judged(reference, changed(response="word " * 900), 0)[0] in {"repetition", "response_length"}
    assert judged(reference, changed(latency_s=9000.0), 0)[2] == "the answer came unusually late"
    assert judged(reference, changed(response="日本語の答え。" * 5), 0)[0] in {"non_ascii", "response_style"}


def test_every_feature_has_words():
    """A number that counts to a side says so in words, and each has a side."""
    assert all(feature.rising or feature.falling for feature in FEATURES)
    assert len({feature.name for feature in FEATURES}) == len(FEATURES)
