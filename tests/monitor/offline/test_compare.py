"""Comparing two files once: the two-sample test decides whether, the verdict says what."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.baseline import BaselineError
from monitor.contract import Cause, Direction, Tier, Verdict
from monitor.contract.config import BaselineConfig, Detection
from monitor.evidence.twosample import TwoSample
from monitor.offline.compare import compare, findings_of
from tests.monitor.synthetic import World


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


def test_no_change():
    """Two draws of one world are ok and not drifted."""
    found = compared(World())
    assert (found.tier, found.drifted, found.cause) == (Tier.OK, False, Cause.NONE)
    assert found.time == 9.0


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
