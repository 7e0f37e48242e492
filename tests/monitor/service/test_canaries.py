"""Canaries through the real proxy to a stand-in: what they ask, cost, learn and find, and what they leave alone."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from monitor.contract import Cause, Exchange, Signal, Tier, Verdict
from monitor.contract.config import Canaries as CanaryConfig
from monitor.contract.config import Config, Route, Secret
from monitor.demo.customers import DELIVERY, PAYMENT, REPAIR, RETURNS, question
from monitor.demo.standin_model import Manner, answer
from monitor.offline.exchange_file import ExchangeFileError, write_exchanges
from monitor.scorer.fake import FakeScorer
from monitor.service.canaries import Canaries, canary_statuses, has_canaries, read_prompts, route_of
from monitor.service.rescoring import Answer
from monitor.traffic.openai_shapes import Answer as Said
from monitor.traffic.standin import StandIn
from tests.proxy.processes import RunningProxy

_PLAY = Random(3)
PROMPTS = tuple(question((DELIVERY, PAYMENT, REPAIR, RETURNS), _PLAY) for _ in range(8))


class Model:
    """A stand-in on a thread of its own; `manner` may change under its name."""

    def __init__(self) -> None:
        self.manner, self._random = Manner.HELPFUL, Random(1)
        self._loop = asyncio.new_event_loop()
        self.server = StandIn(self._say)
        self.url = self._loop.run_until_complete(self.server.start("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def _say(self, prompt: str) -> Said:
        return Said(answer(prompt, self.manner, self._random))

    def stop(self) -> None:
        """End it."""
        asyncio.run_coroutine_threadsafe(self.server.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


class Watched:
    """A model behind a proxy, and canaries whose minutes pass as fast as they are answered."""

    def __init__(self, store, proxy: RunningProxy, model: Model, **how) -> None:
        settings = {
            "per_hour": 60.0,
            "models": ("m",),
            "prompts": PROMPTS,
            "rounds": 5,
            "to": f"{proxy.base}/v1",
        }
        self.config = Config(canaries=CanaryConfig(**settings | how))
        self.store, self.proxy, self.model = store, proxy, model
        self.scorer, self._pool = FakeScorer(), ThreadPoolExecutor(1)
        self.canaries = Canaries(
            self.config, read_prompts(self.config), store, self._ask, lambda: self.scorer.identity
        )
        self.now = 86400.0 * 20000

    def _ask(self, prompts, responses):
        return self._pool.submit(lambda: Answer(self.scorer.identity, self.scorer.score(prompts, responses)))

    def minutes(self, count: int) -> None:
        """Let minutes pass, each as long as its request takes."""
        for _ in range(count):
            self.now += 60.0
            self.canaries.step(self.now)
            deadline = time.monotonic() + 10.0
            while self.canaries._flights:
                assert time.monotonic() < deadline
                time.sleep(0.0005)
                self.canaries.step(self.now)

    @property
    def status(self):
        """The one model's status."""
        (status,) = canary_statuses(self.config, self.store)
        return status

    def close(self) -> None:
        """Stop the threads."""
        self.canaries.close()
        self._pool.shutdown()


@pytest.fixture(scope="module")
def model():
    """Run a stand-in."""
    model = Model()
    yield model
    model.stop()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory, model):
    """Run a proxy before it."""
    with RunningProxy(tmp_path_factory.mktemp("proxy"), {"proxy": {"upstream": model.url}}) as running:
        yield running


@pytest.fixture
def watched(store, proxy, model):
    """Give canaries that have everything."""
    model.manner = Manner.HELPFUL
    watched = Watched(store, proxy, model)
    yield watched
    watched.close()


def verdict(**how) -> Verdict:
    """Make a verdict on traffic."""
    return Verdict(**{"route": "default", "arm": "control", "tier": Tier.OK, "time": 1.0} | how)


def test_a_swapped_model_is_found_within_two_hours_and_nothing_was_mirrored(watched):
    """Forty answers make the reference, two hours of the same model change nothing, another one shows at once."""
    mirrored = watched.proxy.mirror()
    watched.minutes(40)
    assert (watched.status.have, watched.status.need) == (40, 40)
    assert (watched.status.shift, watched.status.different) == (None, None)
    watched.minutes(120)
    before = watched.status
    assert 0.0 < before.shift < 0.75
    assert 0.0 <= before.different <= 1.0
    quiet = verdict()
    assert watched.canaries.told(quiet, scorer_changed=False) == quiet
    watched.model.manner = Manner.EVASIVE
    minute = 0
    while watched.status.alarmed_since is None and minute < 120:
        watched.minutes(1)
        minute += 1
    assert minute <= 60
    told = watched.canaries.told(quiet, scorer_changed=False)
    assert (told.tier, told.cause, told.drifted) == (Tier.MINOR, Cause.MODEL, True)
    assert "canary prompts" in told.headline
    assert abs(told.since - watched.now) <= 60.0 * 61
    status, after = watched.status, watched.proxy.mirror()
    assert status.shift > 0.75
    assert (status.asked, status.answered, status.failed) == (160 + minute, 160 + minute, 0)
    assert status.prompt_tokens > 100 * 5
    assert status.response_tokens > 100 * 5
    assert after["mirrored"] == mirrored["mirrored"]
    assert after["dropped"]["opted_out"] - mirrored["dropped"].get("opted_out", 0) == status.asked


def test_an_unchanged_model_is_acquitted(watched):
    """Traffic accuses it; its answers to fixed prompts are as they were."""
    watched.minutes(40 + 90)
    blamed = verdict(tier=Tier.MINOR, drifted=True, cause=Cause.MODEL, since=watched.now - 80 * 60.0)
    assert watched.canaries.told(blamed, scorer_changed=False).cause is Cause.UNCERTAIN
    moved = {"prompt_novelty": Signal(value=1.0, tier=Tier.MINOR, p_value=1e-9)}
    traffic = watched.canaries.told(
        verdict(tier=Tier.MINOR, drifted=True, cause=Cause.MODEL, signals=moved), scorer_changed=False
    )
    assert traffic.cause is Cause.TRAFFIC
    recently = verdict(tier=Tier.MINOR, drifted=True, cause=Cause.MODEL, since=watched.now - 600.0)
    assert watched.canaries.told(recently, scorer_changed=False).cause is Cause.MODEL
    other = verdict(route="other", tier=Tier.MINOR, drifted=True, cause=Cause.MODEL)
    assert watched.canaries.told(other, scorer_changed=False) == other
    candidate = verdict(arm="candidate", tier=Tier.MINOR, drifted=True, cause=Cause.MODEL)
    assert watched.canaries.told(candidate, scorer_changed=False) == candidate


def test_the_days_spending_has_a_bound(store, proxy, model):
    """So many and no more, whatever the pace."""
    watched = Watched(store, proxy, model, max_per_day=7)
    watched.minutes(30)
    assert (watched.status.asked, watched.status.today) == (7, 7)
    watched.now += 86400.0
    watched.minutes(30)
    assert (watched.status.asked, watched.status.today) == (14, 7)
    watched.close()


def test_a_model_that_does_not_answer_costs_nothing_but_a_count(store, proxy, model, free_ports):
    """Each failure has its word; the loop goes on."""
    (port,) = free_ports(1)
    for to, why in (
        (f"http://127.0.0.1:{port}/v1", "unreachable"),
        (f"{proxy.base}/v1/nowhere", "status_404"),
    ):
        watched = Watched(store, proxy, model, to=to)
        before = watched.status.failed
        watched.minutes(3)
        assert watched.status.failed == before + 3
        assert watched.status.last_failure == why
        watched.now += 86400.0
        watched.close()
    watched = Watched(store, proxy, model)
    watched.scorer.down = True
    watched.now += 2 * 86400.0
    watched.minutes(1)
    assert watched.status.last_failure == "scorer"
    watched.close()


def test_two_workers_ask_as_often_as_one(store, proxy, model):
    """That a request is due is decided in the store."""
    first, second = Watched(store, proxy, model), Watched(store, proxy, model)
    for _ in range(10):
        first.minutes(1)
        second.now = first.now - 1.0
        second.minutes(0)
        second.canaries.step(first.now)
    assert first.status.asked == 10
    first.close()
    second.close()


def test_nothing_is_asked_unless_it_is_wanted(store):
    """Without a pace, without a scorer, without prompts."""
    asked = CanaryConfig(models=("m",), prompts=PROMPTS)
    for config, scorer in (
        (Config(canaries=asked), "s"),
        (Config(canaries=CanaryConfig(per_hour=1.0)), None),
    ):
        canaries = Canaries(config, read_prompts(config), store, None, lambda scorer=scorer: scorer)
        assert canaries.plans() == []
        assert canaries.step(1.0) is False
        assert canaries.told(verdict(), scorer_changed=False) == verdict()
        canaries.close()
    assert canary_statuses(Config(canaries=asked), store) == []


def test_prompts_of_a_file_and_routes_by_pattern(tmp_path):
    """A file's prompts, each once; a model belongs to the first route that matches."""
    file = tmp_path / "prompts.jsonl"
    write_exchanges(file, [Exchange(id=str(i), time=0.0, prompt=p) for i, p in enumerate(["a", "b", "a"])])
    config = Config(
        canaries=CanaryConfig(per_hour=1.0, models=("gpt-x",), file=str(file), key=Secret("k")),
        routes=(Route(name="support", match="support-*"), Route(name="rest", match="gpt-*")),
    )
    assert read_prompts(config) == ("a", "b")
    assert (route_of(config, "support-1"), route_of(config, "gpt-x"), route_of(config, "z")) == (
        "support",
        "rest",
        "",
    )
    assert has_canaries(config, "rest")
    assert not has_canaries(config, "support")
    file.unlink()
    with pytest.raises(ExchangeFileError):
        read_prompts(config)
