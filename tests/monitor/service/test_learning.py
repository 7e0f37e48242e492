"""Making baselines from traffic, files and periods."""

from __future__ import annotations

import msgspec
import pytest

from monitor.baseline import BaselineError
from monitor.bus.memory import MemoryBus
from monitor.contract.config import BaselineConfig
from monitor.offline.exchange_file import ExchangeFileError, write_exchanges
from monitor.scorer.fake import FakeScorer
from monitor.service.folding import make_work
from monitor.service.learning import Source, create, file_sources, learn, period_source, sweep
from monitor.service.scoring import score_exchanges
from monitor.store import Work
from monitor.store.lessons import Learnt

SETTINGS = BaselineConfig(size=200, span_hours=0.0, clusters=4)


def bring(store, exchanges, batch_id):
    """Commit exchanges of a route without a baseline."""
    work: Work = make_work(score_exchanges(FakeScorer(), exchanges, 64), {})
    store.ledger.commit(work._replace(bus="b", batch_ids=[batch_id], lease_until=10.0), lambda: 1.0)


def test_the_first_exchanges_become_the_baseline(store, traffic):
    """So many scored ones of the control arm, in order; what is left of that time is folded, nothing is lost."""
    failed = [msgspec.structs.replace(x, status=500) for x in traffic(5, seed=9)]
    bring(store, [*traffic(120), *failed, *traffic(10, arm="candidate")], 1)
    bring(store, traffic(120, seed=1), 2)
    bring(store, traffic(30, seed=2), 3)
    baseline = learn(store, "default", SETTINGS, now=5.0)
    assert baseline is not None
    assert baseline.size == 205  # 200 scored and the 5 that failed among them
    assert (baseline.scorer, baseline.created) == ("fake-16", 5.0)
    assert store.baselines.active() == {"default": baseline.id}
    sweep(store, baseline)
    windows = {
        arm: store.arms.window(("default", arm), baseline.id, 0, 100) for arm in ("control", "candidate")
    }
    assert {arm: window.n for arm, window in windows.items()} == {"control": 70, "candidate": 10}
    assert store.lessons.learnt() == {}


def test_too_few_exchanges_are_an_error(store, traffic):
    """A baseline that would be too thin is not made, and the lessons stay."""
    bring(store, traffic(5), 1)
    with pytest.raises(BaselineError):
        learn(store, "default", SETTINGS, now=5.0)
    assert store.lessons.learnt() == {"default": Learnt(5, 0.0)}


def test_lessons_of_another_scorer_are_not_folded(store, traffic, baseline):
    """Left-over lessons whose scores cannot be compared with the baseline are dropped."""
    bring(store, traffic(20), 1)
    store.database.execute("UPDATE lessons SET scorer = 'other'")
    store.baselines.add(baseline, "test")
    sweep(store, baseline)
    assert store.lessons.learnt() == {}
    assert store.arms.window(("default", "control"), baseline.id, 0, 100) is None


def test_a_file_serves_each_route_it_names(tmp_path, traffic):
    """Routes named in the file get their own exchanges; a file that names none serves all routes."""
    named, plain = tmp_path / "named.jsonl", tmp_path / "plain.jsonl"
    write_exchanges(
        named, [*traffic(3, route="a"), *traffic(2, route="b"), *traffic(4, route="a", arm="candidate")]
    )
    write_exchanges(plain, traffic(5))
    sources = file_sources(named, ["a", "b", "c"])
    assert [(s.route, len(s.exchanges), s.origin) for s in sources] == [
        ("a", 3, f"file {named}"),
        ("b", 2, f"file {named}"),
    ]
    assert [(s.route, len(s.exchanges)) for s in file_sources(plain, ["a", "b"])] == [("a", 5), ("b", 5)]
    with pytest.raises(ExchangeFileError):
        file_sources(tmp_path / "missing", ["a"])


def test_skipped_lines_of_a_file_are_told(tmp_path, traffic):
    """How many there were and what was wrong with the first; nothing where there are none."""
    file, told = tmp_path / "some.jsonl", []
    write_exchanges(file, traffic(3))
    file_sources(file, ["a"], told.append)
    assert told == []
    file.write_text(file.read_text() + "nonsense\n[1]\n")
    assert [len(source.exchanges) for source in file_sources(file, ["a"], told.append)] == [3]
    assert len(told) == 1
    assert told[0].startswith(f"{file}: 2 of 5 lines skipped; line 4: not JSON")


def test_a_baseline_made_on_request_is_used(store, traffic):
    """Creating one scores the exchanges, keeps it and compares the route with it from now on."""
    baseline = create(store, FakeScorer(), Source("default", traffic(200), "file x"), SETTINGS, now=3.0)
    assert store.baselines.active() == {"default": baseline.id}
    assert [(row.origin, row.size) for row in store.baselines.listed()] == [("file x", 200)]


def test_a_period_is_read_again_from_the_bus(traffic):
    """Exchanges of the period, of that route's control arm, evenly spread where there are more than wanted."""
    bus = MemoryBus()
    for now in range(10):
        batch = [
            *traffic(10, seed=now),
            *traffic(3, seed=now, route="other"),
            *traffic(2, seed=now, arm="candidate"),
        ]
        bus.ack([bus.publish("p", batch, now=float(now))])
    source = period_source(bus, "default", (2.0, 8.0), size=30)
    assert len(source.exchanges) == 30
    assert [x.id.partition("-")[0] for x in source.exchanges] == [
        str(now) for now in range(2, 8) for _ in range(5)
    ]
    assert len(period_source(bus, "default", (2.0, 8.0), size=1000).exchanges) == 60
    with pytest.raises(ValueError, match="no exchange of route 'default'"):
        period_source(bus, "default", (100.0, 200.0), size=30)
