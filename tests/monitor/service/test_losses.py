"""What is missing from a window."""

from __future__ import annotations

from monitor.contract import Progress, Tier, Verdict
from monitor.service.losses import Losses, with_losses


def test_losses_count_for_one_window():
    """What was lost before the first look is unknown; later losses count until the window has passed them."""
    losses = Losses(window_s=100.0)
    assert losses.note(50, now=0.0) == 0
    assert losses.note(50, now=10.0) == 0
    assert losses.note(70, now=20.0) == 20
    assert losses.note(75, now=90.0) == 25
    assert losses.note(75, now=121.0) == 5
    assert losses.note(75, now=200.0) == 0


def test_a_few_are_a_caveat_and_many_are_blind():
    """One exchange in ten may be missing; beyond that nobody says ok."""
    verdict = Verdict(route="r", arm="control", tier=Tier.OK, time=1.0, n={"baseline": 9, "window": 900})
    assert with_losses(verdict, 0) == verdict
    few = with_losses(verdict, 100)
    assert (few.tier, len(few.caveats)) == (Tier.OK, 1)
    many = with_losses(verdict, 101)
    assert many.tier is Tier.BLIND
    assert "101 exchanges of this window were lost" in many.headline


def test_learning_goes_on_with_losses():
    """A baseline is made of what came; there is nothing yet to be blind about."""
    learning = Verdict(
        route="r", arm="control", tier=Tier.LEARNING, time=1.0, progress=Progress(have=1, need=2)
    )
    assert with_losses(learning, 1000) == learning
