"""The layout of a sketch: every additive quantity of a bucket, at its place in one integer vector.

Law: whatever is added here must be a sum over exchanges, because merging is vector addition and nothing else. Real
numbers are stored in fixed point, so that addition is exact and the order of merging cannot change a verdict.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.sketch.cells import CELLS
from monitor.sketch.hours import HOURS
from monitor.text.style import PROMPT_FEATURES, RESPONSE_FEATURES

SCALE = 1 << 16
# Cells of the histograms of ranks (novelty, reward, latency); 20 cells make each 5 %.
RANK_CELLS = 20
AXES = 16
# Places that distances of texts are taken to, at most.
LANDMARKS = 256

# Plain counts of exchanges.
COUNTS: tuple[str, ...] = (
    "exchanges",
    "errors",  # answered with status >= 400 or not at all
    "incomplete",  # cut short by either side
    "empty",  # a complete answer without text or tool call
    "truncated",  # finish_reason says the token limit was reached
    "refused",  # declared or worded as a refusal
    "tool_calls",
    "unscored",  # the scorer refused the text
    "prompts",  # with a scored prompt
    "answers",  # with a scored prompt and a scored, complete answer
    "supported",  # answers to prompts the baseline had the like of
    "rewarded",
    "timed",
    "novel_90",  # prompts beyond the 90 % held-out distance of their cluster
    "novel_98",
)
PROMPT_SCORES: tuple[str, ...] = (
    *(f"prompt {name}" for name in PROMPT_FEATURES),
    *(f"prompt axis {i + 1}" for i in range(AXES)),
    "prompt novelty",
)
RESPONSE_SCORES: tuple[str, ...] = (
    *(f"response {name}" for name in RESPONSE_FEATURES),
    *(f"response axis {i + 1}" for i in range(AXES)),
    "response novelty",
    "answer fit",
    "reward",
    # The reward given prompt, style and content: made of the scores before it (see `controlled`).
    "style-controlled reward",
)
# The scores that are there only where there is a reward.
REWARD_SCORES = frozenset({"reward", "style-controlled reward"})
SYSTEM_SCORES: tuple[str, ...] = ("latency", "time to first token")


# (family of evidence, count, out of which count): the shares whose rise is watched.
RATES: tuple[tuple[str, str, str], ...] = (
    ("novelty", "novel_90", "prompts"),
    ("novelty", "novel_98", "prompts"),
    ("quality", "refused", "answers"),
    ("quality", "truncated", "exchanges"),
    ("quality", "empty", "exchanges"),
    ("quality", "incomplete", "exchanges"),
    ("quality", "errors", "exchanges"),
)


def known_share(names: tuple[str, ...]) -> NDArray[np.float64]:
    """Return which share of the baseline each score's mean rests on: ranks of distance come from one half of it."""
    return np.array([0.5 if name.endswith("novelty") else 1.0 for name in names])


class Field(NamedTuple):
    """A named part of the vector: `real` parts hold fixed-point numbers, the others counts."""

    start: int
    stop: int
    real: bool


class Layout(NamedTuple):
    """Places of all fields for quantisers of `clusters` centroids."""

    clusters: int
    fields: dict[str, Field]
    size: int

    def read(self, vector: NDArray[np.int64], name: str) -> NDArray[np.float64]:
        """Return a field as float64, fixed point undone."""
        field = self.fields[name]
        part = vector[field.start : field.stop].astype(np.float64)
        return part / SCALE if field.real else part

    def add(
        self, vector: NDArray[np.int64], name: str, values: NDArray[np.float64] | NDArray[np.intp] | float
    ) -> None:
        """Add to a field in place; real numbers must have been made `fixed` exchange by exchange."""
        field = self.fields[name]
        vector[field.start : field.stop] += np.asarray(values).astype(np.int64)


def fixed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return whole multiples of 1 / `SCALE`: rounding each exchange, not their sum, is what makes sums exact.

    They stay float64, exact up to 2^53, so that they can be weights of a histogram.
    """
    return np.rint(values * SCALE)


@lru_cache(maxsize=16)
def layout_for(prompt_clusters: int, response_clusters: int) -> Layout:
    """Return the layout for quantisers of these sizes."""
    parts: list[tuple[str, int, bool]] = [
        *((name, 1, False) for name in COUNTS),
        ("prompt_clusters", prompt_clusters, False),
        ("response_clusters", response_clusters, False),
        ("prompt_ranks", RANK_CELLS, False),
        # Prompts that lie far from all the baseline has, by the landmark that is nearest.
        ("far_prompts", LANDMARKS, False),
        ("response_ranks", RANK_CELLS, False),
        ("reward_ranks", RANK_CELLS, False),
        ("prompt_scores", len(PROMPT_SCORES), True),
        ("response_scores", len(RESPONSE_SCORES), True),
        ("system_scores", len(SYSTEM_SCORES), True),
        ("prompt_style", len(PROMPT_FEATURES), True),
        ("response_style", len(RESPONSE_FEATURES), True),
        ("response_style_sq", len(RESPONSE_FEATURES), True),
        # How well answers fit their prompts, over supported ones.
        ("answer_fit", 1, True),
        ("reward", 1, True),
        ("reward_sq", 1, True),
        ("latency", 1, True),
        # Attribution: rewards, their squares and counts by prompt cluster; expected rewards; the unsupported part.
        ("cluster_rewarded", prompt_clusters, False),
        ("cluster_reward", prompt_clusters, True),
        ("cluster_reward_sq", prompt_clusters, True),
        ("expected", 1, True),
        ("expected_sq", 1, True),
        ("residual", 1, True),
        ("residual_sq", 1, True),
        ("unsupported", 1, False),
        ("unsupported_reward", 1, True),
        ("unsupported_expected", 1, True),
        # When: exchanges by hour of the week. What comes again: hashed prompts and users.
        ("hours", HOURS, False),
        ("prompt_cells", CELLS, False),
        ("user_cells", CELLS, False),
    ]
    fields, at = {}, 0
    for name, size, real in parts:
        fields[name] = Field(at, at + size, real)
        at += size
    return Layout(prompt_clusters, fields, at)
