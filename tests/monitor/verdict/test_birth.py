"""New prompts become a topic with a name when there are enough, of several people or for some time."""

from __future__ import annotations

import pytest

from monitor.sketch.reservoir import Kept
from monitor.verdict.birth import FEWEST_PROMPTS, likely_new, unborn


def sample(users: str = "abcdefgh", wordings: int = 8, hours: int = 0) -> list[Kept]:
    """Make eight sampled new prompts, `hours` from the first to the last; a blank is no user."""
    return [
        Kept(i, f"e{i}", f"prompt {i % wordings}", "r", 0, 0, 1.0, user.strip(), 480_000 + i * hours // 7)
        for i, user in enumerate(users)
    ]


@pytest.mark.parametrize(
    ("new", "found", "why"),
    [
        (FEWEST_PROMPTS, sample(), ""),
        (FEWEST_PROMPTS - 1, sample(), "too few yet to name a topic"),
        (3, sample("aaa"), "too few yet to name a topic"),
        (500, sample("aaaaaaaa"), "not yet for 2 hours or from several users"),
        (500, sample("aaaaaaab", hours=1), "not yet for 2 hours or from several users"),
        (500, sample("aaaaaaaa", hours=2), ""),
        (500, sample("aaaaaabc"), ""),
        (500, sample("        "), ""),
        (500, sample(wordings=2, hours=5), "the same again, no topic"),
        (500, sample("aaaaaaaa", wordings=2)[:3], "the same again, no topic"),
        (500, sample("ab"), "too few yet to name a topic"),
        (500, [], "too few yet to name a topic"),
    ],
)
def test_what_a_name_needs(new: float, found: list[Kept], why: str):
    """Thirty prompts in three wordings, of three senders or over two hours; without users each stands for itself."""
    assert unborn(new, found) == why


def test_hours_without_a_time_tell_nothing():
    """One exchange without a time does not make the others look half a century old."""
    timeless = Kept(9, "e9", "prompt 9", "r", 0, 0, 1.0, "a")
    assert unborn(500, [*sample("aaaaaaa"), timeless])


@pytest.mark.parametrize(
    ("far", "usual", "kept"), [(80, 40, 4), (80, 0, 8), (80, 100, 0), (80, 70, 1), (0, 0, 0)]
)
def test_what_is_always_far_vouches_for_nothing(far: float, usual: float, kept: int):
    """Of the sample as many are left out as lie far anyway, the least novel of them."""
    drawn = [Kept(i, f"e{i}", f"prompt {i}", "r", 0, 0, 0.95 + i / 200) for i in range(8)]
    found = likely_new(far, usual, drawn)
    assert [each.id for each in found] == [f"e{i}" for i in range(7, 7 - kept, -1)]
