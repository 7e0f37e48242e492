"""Real answers of real models: the same model stays ok, a weaker one is worse, another mix is nobody's fault."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from monitor.contract import Cause, Direction, Exchange, Tier, Verdict
from monitor.contract.config import BaselineConfig, Detection
from monitor.offline.compare import compare
from monitor.offline.scoring import score_all
from monitor.scorer.local import LocalScorer
from monitor.scorer.open import SHIPPED
from monitor.sketch.scored import Scored

DATA = Path(os.environ.get("DRIFTGATE_DATA", Path(__file__).parents[3] / "shared" / "data"))
WEIGHTS = SHIPPED / "exchange_scorer" / "1" / "weights" / "reward.safetensors"

pytestmark = [
    pytest.mark.skipif(not (DATA / "scen.py").exists(), reason=f"no data in {DATA} (set DRIFTGATE_DATA)"),
    pytest.mark.skipif(not WEIGHTS.exists(), reason="the shipped weights are absent"),
]

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def scenarios(monkeypatch_module: pytest.MonkeyPatch) -> Any:
    """Load the selector of scenarios that comes with the data."""
    monkeypatch_module.setenv("DATA_DIR", str(DATA))
    spec = importlib.util.spec_from_file_location("scen", DATA / "scen.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def monkeypatch_module() -> Iterable[pytest.MonkeyPatch]:
    """Give a monkeypatch that lasts as long as the module."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def scorer() -> LocalScorer:
    """Open the shipped scorer in this process."""
    return LocalScorer(SHIPPED)


def sides(scenarios: Any, name: str) -> tuple[Rows, Rows]:
    """Return the rows of a scenario's two sides."""
    lines = (DATA / "scenarios.jsonl").read_text(encoding="utf-8").splitlines()
    scenario = next(s for s in map(json.loads, lines) if s["name"] == name)
    return scenarios.select(scenario, "A"), scenarios.select(scenario, "B")


def scored(scorer: LocalScorer, rows: Rows) -> Scored:
    """Score rows of the data."""
    return score_all(
        [Exchange(id=str(r["id"]), time=0.0, prompt=r["prompt"], response=r.get("response")) for r in rows],
        scorer,
    )


def compared(scorer: LocalScorer, before: Rows, after: Rows) -> Verdict:
    """Compare two sets of rows as the command does."""
    return compare(
        scored(scorer, before),
        scored(scorer, after),
        scorer=scorer.identity,
        alpha=0.01,
        learning=BaselineConfig(),
        detection=Detection(),
        now=0.0,
    )


@pytest.fixture(scope="module")
def two_models(scenarios: Any) -> tuple[Rows, Rows]:
    """Give a strong model's and a weaker model's answers to 300 equal prompts."""
    strong, weak = sides(scenarios, "ae-gpt4-0314-to-gpt35-0301")
    return strong[:300], weak[:300]


def test_a_weaker_model_is_critical(scorer: LocalScorer, two_models: tuple[Rows, Rows]):
    """A cheaper model on the same prompts is worse, and it is the model."""
    found = compared(scorer, *two_models)
    assert (found.tier, found.direction, found.cause) == (Tier.CRITICAL, Direction.DEGRADED, Cause.MODEL)


def test_the_way_back_is_an_improvement(scorer: LocalScorer, two_models: tuple[Rows, Rows]):
    """The same pair the other way round is better."""
    found = compared(scorer, two_models[1], two_models[0])
    assert found.direction is not Direction.DEGRADED
    assert (found.tier, found.direction, found.cause) == (Tier.IMPROVED, Direction.IMPROVED, Cause.MODEL)


@pytest.mark.parametrize("name", ["null-gpt4o-half", "null-llmdrift-gpt4-half"])
def test_the_same_model_stays_ok(scorer: LocalScorer, scenarios: Any, name: str):
    """Two halves of one model's answers do not drift."""
    before, after = sides(scenarios, name)
    found = compared(scorer, before[:250], after[:250])
    assert (found.tier, found.drifted, found.cause) == (Tier.OK, False, Cause.NONE)


def test_other_topics_are_traffic(scorer: LocalScorer, scenarios: Any):
    """Intents of other domains are new prompts, without any model to blame."""
    before, after = sides(scenarios, "clinc-domain-swap")
    found = compared(scorer, before[:600], after[:300])
    assert (found.tier, found.cause) == (Tier.CRITICAL, Cause.TRAFFIC)
    assert found.direction is Direction.NEUTRAL


def test_another_mix_of_one_models_prompts_blames_nobody(scorer: LocalScorer, scenarios: Any):
    """One model asked by other datasets in other proportions: traffic changed, the model did not."""
    rows, _ = sides(scenarios, "ae-gpt4-0314-to-gpt35-0301")
    names = sorted({r["dataset"] for r in rows})
    favoured = set(names[: len(names) // 2])
    even = [r for i, r in enumerate(rows) if i % 2 == 0]
    odd = [r for i, r in enumerate(rows) if i % 2 == 1 and (r["dataset"] in favoured or i % 10 == 1)]
    found = compared(scorer, even, odd)
    assert found.drifted
    assert found.cause is Cause.TRAFFIC
    assert found.direction is Direction.NEUTRAL
