"""The queue of reviews: offered once, bounded by the hour, resolved by somebody, forgotten in time."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.contract import Exchange, Tier, Verdict
from monitor.review.candidates import Candidate, Offer
from monitor.review.sampling import Draw, keep
from monitor.store.reviews import TEXT_CHARS, add_offers


def candidate(i: int, priority: float, *, weight: float = 0.1, p: float = 0.5, text: str = "p") -> Candidate:
    """Make the candidate of one exchange."""
    exchange = Exchange(id=f"x{i}", time=60.0 * i, prompt=text, response="r")
    return Candidate(exchange, Draw(weight, priority), p, (f"reason {i}",), None)


def offer(priorities: dict[int, float], *, k: int = 3, seen: int = 0, hour: int = 0) -> Offer:
    """Offer exchanges as one batch does."""
    items = list(priorities.items())
    kept = keep([priority for _, priority in items], k)
    best = tuple(candidate(*items[place]) for place in kept.places)
    return Offer("default", "control", hour, seen or len(items), best, kept.threshold, k)


def add(store, *offers: Offer) -> None:
    """Commit offers, each in a transaction of its own."""
    for one in offers:
        with store.database.writing():
            add_offers(store.database, [one])


def test_batches_of_an_hour_keep_what_one_would(store):
    """However the hour comes in, the queue holds its largest priorities, each with what it stands for."""
    rng = np.random.default_rng(0)
    priorities = dict(enumerate(rng.pareto(1.0, size=40)))
    for part in np.array_split(rng.permutation(40), 9):
        add(store, offer({int(i): priorities[int(i)] for i in part}))
    whole = keep([priorities[i] for i in range(40)], 3)
    items = store.reviews.listed()
    assert {item.exchange for item in items} == {f"x{i}" for i in whole.places}
    assert all(item.times == pytest.approx(max(1.0, whole.threshold / 0.1)) for item in items)


def test_an_exchange_is_shown_once(store):
    """Reading a batch again, or the same id again, neither doubles an item nor reopens it."""
    add(store, offer({1: 5.0, 2: 4.0}))
    resolved = store.reviews.listed()[0].id
    store.reviews.resolve(resolved, "ok", note="", by="ann", now=9.0)
    add(store, offer({1: 5.0, 2: 4.0}))
    assert len(store.reviews.listed(state="")) == 2
    assert resolved not in {item.id for item in store.reviews.listed()}


def test_what_is_resolved_stays_but_leaves_the_sample(store):
    """Displaced later in its hour, a judged item keeps its judgement and counts no more."""
    add(store, offer({1: 1.0}, k=1))
    judged = store.reviews.listed()[0]
    store.reviews.resolve(judged.id, "bad", note="wrong", by="ann", now=9.0)
    assert store.reviews.quality("default", "control").share == 1.0
    add(store, offer({2: 2.0}, k=1))
    item = store.reviews.get(judged.id)
    assert (item.outcome, item.note, item.by, item.resolved_at, item.times) == (
        "bad",
        "wrong",
        "ann",
        9.0,
        None,
    )
    assert [open_.exchange for open_ in store.reviews.listed()] == ["x2"]
    assert store.reviews.quality("default", "control") is None


def test_quality_weighs_by_what_items_stand_for(store):
    """A usual exchange stands for many unusual ones; `unsure` is left out."""
    with store.database.writing():
        best = tuple(candidate(i, 9.0 - i, weight=w) for i, w in enumerate([5.0, 0.1, 0.1, 0.1]))
        add_offers(store.database, [Offer("default", "control", 0, 50, best, 1.0, 4)])
    items = {item.exchange: item.id for item in store.reviews.listed()}
    for name, outcome in (("x0", "bad"), ("x1", "ok"), ("x2", "ok"), ("x3", "unsure")):
        store.reviews.resolve(items[name], outcome, note="", by="ann", now=1.0)
    found = store.reviews.quality("default", "control")
    assert found.share == pytest.approx(1.0 / 21.0)
    assert found.reviewed == 3
    assert store.reviews.arms() == [("default", "control")]


def test_unknown_items_are_errors(store):
    """Neither showing nor judging makes one up."""
    with pytest.raises(KeyError):
        store.reviews.get("e0")
    with pytest.raises(KeyError):
        store.reviews.resolve("e0", "ok", note="", by="ann", now=1.0)


def test_texts_are_cut_and_old_items_go(store):
    """No more of a text is kept than the bound, and nothing longer than the retention."""
    best = (candidate(1, 5.0, text="x" * 20_000),)
    add(store, Offer("default", "control", 0, 1, best, 0.0, 3))
    assert len(store.reviews.listed()[0].prompt) == TEXT_CHARS
    store.reviews.forget(30.0)
    assert len(store.reviews.listed()) == 1
    store.reviews.forget(7200.0)
    assert store.reviews.listed(state="") == []
    assert store.database.rows("SELECT * FROM review_hours") == []


def test_verdicts_come_first_and_unusual_exchanges_next(store):
    """The order of the list is the order in which to look."""
    add(
        store,
        Offer("default", "control", 0, 2, (candidate(1, 5.0, p=0.3), candidate(2, 4.0, p=0.001)), 0.0, 3),
    )
    verdict = Verdict(
        route="default",
        arm="control",
        tier=Tier.MINOR,
        time=5.0,
        headline="something moved",
        reasons=("longer",),
    )
    store.reviews.add_verdict(verdict)
    store.reviews.add_verdict(verdict)
    items = store.reviews.listed()
    assert [item.kind for item in items] == ["verdict", "exchange", "exchange"]
    assert items[0].prompt == "something moved"
    assert items[0].reasons == ("longer",)
    assert [item.p_value for item in items[1:]] == [0.001, 0.3]
    assert store.reviews.listed(route="other") == []
    assert len(store.reviews.listed(limit=1)) == 1
