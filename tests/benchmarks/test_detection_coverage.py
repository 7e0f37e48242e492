"""The benchmark's question to intervals: what is true is known, and an interval that holds it is counted as one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from benchmarks.detection.coverage import Drawn, Held, case_of, counts, write
from benchmarks.detection.live import Sight, learn
from benchmarks.detection.pools import as_pool
from benchmarks.detection.streams import DAY, Rows, Stream
from monitor.sketch.scored import Scored
from tests.monitor.synthetic import World

_EACH = 800


class Seen(NamedTuple):
    """A pool through a baseline that learnt its first part; `before` and `after` are the rows of the other two."""

    sight: Sight
    before: Rows
    after: Rows


def joined(parts: list[Scored]) -> Scored:
    """Return all scored exchanges in one."""
    return Scored(
        [e for part in parts for e in part.exchanges],
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("prompt", "response", "reward")
        ),
        {},
    )


def seen(seed: int) -> Seen:
    """Draw a world, the same again, and one of longer answers and a new topic."""
    plain, other = World(), World(shares=(0.0, 0.0, 0.0, 0.0, 1.0), length=1.5)
    parts = [world.make(_EACH, 10 * seed + i) for i, world in enumerate((plain, plain, other))]
    scored = joined(parts)
    pool = as_pool(scored, np.zeros(len(scored.exchanges), dtype=np.intp))
    history = Stream(9 * DAY - np.arange(_EACH, 0, -1) * 6.0, np.arange(_EACH))
    rows = np.arange(3 * _EACH)
    return Seen(Sight(learn(pool, history, "synthetic"), pool), rows[_EACH : 2 * _EACH], rows[2 * _EACH :])


@pytest.fixture(scope="module")
def held() -> list[Held]:
    """Ask 24 baselines for twenty windows each, without change and with a fifth of one."""
    found: list[Held] = []
    for seed in range(24):
        rng = np.random.default_rng(seed)
        sight, before, after = seen(seed)
        found += case_of(sight, "no change", Drawn(before, before, 0.0, 0.0), rng, 20)
        found += case_of(sight, "a fifth", Drawn(before, after, 0.2, 0.2), rng, 20)
    return found


@pytest.mark.parametrize(
    "effect", ["new_clusters", "new_clusters, true share", "prompt_novelty", "length", "reward"]
)
def test_intervals_hold_what_is_true(held: list[Held], effect: str):
    """Over 24 baselines about 95 % do, in either case, give or take the error that the windows of one share."""
    for case in ("no change", "a fifth"):
        mine = [h.held for h in held if (h.case, h.effect) == (case, effect)]
        assert len(mine) == 480
        assert 0.90 <= np.mean(mine) <= 0.995


def test_folding_at_once_is_summing_rows():
    """A window is the same bucket whichever way it comes about."""
    sight, before, _ = seen(0)
    rows = before[[5, 3, 3, 700]]
    assert np.array_equal(sight.folded(rows).vector, sight.bucket(rows).vector)


def test_what_was_counted_is_written():
    """Of each effect: how many held, of how many, and where it was worst."""
    found = [Held("calm", "length", held=True)] * 3
    found += [Held("storm", "length", held=False), Held("storm", "reward", held=True)]
    assert counts(found) == {"length": [3, 4], "reward": [1, 1]}
    line = next(line for line in write(found).splitlines() if line.startswith("| length"))
    assert "75.0 %" in line
    assert "0.0% | storm" in line
