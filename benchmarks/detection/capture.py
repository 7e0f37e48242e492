"""Capture: how many prompts of a domain that arrives the novelty gate calls novel, and how many of known ones.

Law: baseline, known and arriving prompts share no text; each domain arrives at baselines that never had it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.drifts import history_of
from benchmarks.detection.figures import Share, table
from benchmarks.detection.live import learn
from benchmarks.detection.pools import Data
from benchmarks.detection.worlds import topics
from monitor.baseline import Baseline

DOMAINS = 10
_KNOWN = "known domains"


class Caught(NamedTuple):
    """Of the prompts of one domain at one baseline: beyond nine tenths, beyond 98 %, and far; of how many."""

    domain: str
    beyond_90: int
    beyond_98: int
    far: int
    of: int


def measure_capture(data: Data, *, baselines: int, tick: Callable[[], None]) -> list[Caught]:
    """Let each domain arrive at some baselines of the nine others."""
    found = []
    for seed in range(max(DOMAINS, baselines)):
        world = topics(data, np.random.default_rng([5, seed]), seed)
        baseline = learn(world.pool, history_of(world), data.identity)
        prompts = world.pool.scored.prompt
        arriving = f"domain {seed % DOMAINS + 1}"
        found.append(_caught(arriving, baseline, prompts[world.changes[0].rows]))
        found.append(_caught(_KNOWN, baseline, prompts[world.before]))
        tick()
    return found


def _caught(domain: str, baseline: Baseline, prompts: NDArray[np.float32]) -> Caught:
    seen = baseline.prompt.quantiser.assign(prompts)
    counts = ((seen.novelty > 0.9).sum(), (seen.novelty > 0.98).sum(), (seen.far >= 0).sum())
    return Caught(domain, *map(int, counts), len(prompts))


def write(found: list[Caught]) -> str:
    """Return the table of shares by domain, those of all that arrived, and those of the known ones."""
    names = [f"domain {i + 1}" for i in range(DOMAINS)]
    groups = [(name, [c for c in found if c.domain == name]) for name in names]
    groups.append(("all that arrived", [c for c in found if c.domain != _KNOWN]))
    groups.append((_KNOWN, [c for c in found if c.domain == _KNOWN]))
    head = ("prompts of", "beyond 90 % of the baseline's", "beyond 98 %", "far: beyond 80 %, anywhere")
    return table(head, [(name, *map(str, _shares(mine))) for name, mine in groups])


def _shares(mine: list[Caught]) -> list[Share]:
    of = sum(c.of for c in mine)
    return [
        Share(sum(part), of) for part in zip(*((c.beyond_90, c.beyond_98, c.far) for c in mine), strict=True)
    ]
