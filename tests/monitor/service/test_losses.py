"""What is missing from a window."""

from __future__ import annotations

from monitor.bus import Losses
from monitor.contract import Tier, Verdict
from monitor.service.losses import with_losses


def test_a_few_are_a_caveat_and_many_are_blind():
    """One exchange in ten may be missing; beyond that nobody says ok."""
    verdict = Verdict(route="r", arm="control", tier=Tier.OK, time=1.0, n={"baseline": 9, "window": 900})
    assert with_losses(verdict, Losses(1000, 0)) == verdict
    few = with_losses(verdict, Losses(1000, 100))
    assert (few.tier, len(few.caveats)) == (Tier.OK, 1)
    many = with_losses(verdict, Losses(1000, 101))
    assert many.tier is Tier.BLIND
    assert "101 of 1000 exchanges of this window (10.1%) were lost" in many.headline
