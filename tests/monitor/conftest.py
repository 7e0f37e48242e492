"""Traffic, a scorer and a baseline that the tests of store and service share."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitor.baseline import Baseline, build_baseline
from monitor.contract import Exchange
from monitor.contract.config import BaselineConfig
from monitor.scorer.fake import FakeScorer
from monitor.service.scoring import score_exchanges
from monitor.sketch.scored import Scored
from monitor.store import Store, open_store
from tests.monitor.synthetic import World

WORDS = [
    "alpha",
    "river",
    "stone",
    "cloud",
    "green",
    "paper",
    "house",
    "light",
    "water",
    "bread",
    "train",
    "clock",
]
Traffic = Callable[..., list[Exchange]]


def make_traffic(
    n: int,
    *,
    seed: int = 0,
    time: float = 1000.0,
    route: str = "default",
    arm: str = "control",
    bad: bool = False,
) -> list[Exchange]:
    """Make n exchanges at one moment; `bad` ones are answered in words that share nothing with the prompt."""
    rng = random.Random(f"{seed} {route} {arm} {bad}")
    exchanges = []
    for i in range(n):
        prompt = rng.choices(WORDS, k=8)
        answer = rng.choices(["sorry", "cannot", "help", "today"], k=4) if bad else rng.choices(prompt, k=12)
        exchanges.append(
            Exchange(
                id=f"{seed}-{route}-{arm}-{bad}-{i}",
                time=time,
                prompt=" ".join(prompt),
                response=" ".join(answer),
                route=route,
                arm=arm,
                latency_s=rng.uniform(0.5, 1.5),
            )
        )
    return exchanges


@pytest.fixture
def traffic() -> Traffic:
    """Give the maker of exchanges."""
    return make_traffic


def make_scored(exchanges: list[Exchange]) -> Scored:
    """Score exchanges with the test double."""
    return score_exchanges(FakeScorer(), exchanges, 256).scored


@pytest.fixture
def scored() -> Callable[[list[Exchange]], Scored]:
    """Give the scoring of exchanges."""
    return make_scored


@pytest.fixture(scope="session")
def baseline() -> Baseline:
    """Make one small baseline of the default route."""
    settings = BaselineConfig(size=300, clusters=8)
    rows = make_scored(make_traffic(300))
    return build_baseline(rows, route="default", scorer="fake-16", settings=settings, created=1.0)


@pytest.fixture(scope="session")
def reference() -> Baseline:
    """Make one baseline of the synthetic world, large enough for its numbers to mean something."""
    settings = BaselineConfig(size=1500, clusters=8)
    return build_baseline(
        World().make(1500, seed=900), route="default", scorer="synthetic", settings=settings, created=1.0
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Open an empty store."""
    store = open_store(tmp_path / "monitor.sqlite")
    yield store
    store.close()
