"""What is offered for review: unusual exchanges with their reasons, bounded by the hour, and more of what a verdict is about."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from monitor.baseline import Baseline
from monitor.contract import Shift, Tier, Verdict
from monitor.review.candidates import NOWHERE, Focus, Offer, focus_of, offers
from monitor.review.sampling import FLOOR, FOCUS
from monitor.sketch.features import extract
from monitor.sketch.scored import Scored
from tests.monitor.synthetic import World

KEY = ("default", "control")


def offered(
    baseline: Baseline,
    stream: Scored,
    per_hour: int = 6,
    verdicts: dict[tuple[str, str], Verdict] | None = None,
) -> list[Offer]:
    """Offer a stream."""
    features = extract(stream)
    seen = features, baseline.encode(stream, features)
    return offers(baseline, stream, seen, per_hour=per_hour, verdicts=verdicts or {})


def test_every_hour_offers_its_own_few(reference: Baseline):
    """A stream of two and a half hours makes three offers, each bounded, each counting what it was drawn from."""
    found = offered(reference, World(rate=2.0, start=0.0).make(300, seed=3))
    assert [(o.hour, o.seen) for o in found] == [(0, 120), (1, 120), (2, 60)]
    for offer in found:
        assert len(offer.candidates) == 6
        assert all(c.drawn.priority > offer.threshold > 0.0 for c in offer.candidates)
        assert all(c.reasons for c in offer.candidates)
    assert offered(reference, World().make(30, seed=3), per_hour=0) == []


def test_an_answer_to_another_prompt_is_found_and_named(reference: Baseline):
    """Answers that were handed to other prompts are drawn far more often than their share, and told why."""
    hits = named = drawn = 0
    for seed in range(8):
        stream = World(rate=10.0, start=0.0).make(300, seed=30 + seed)
        rows, response = np.arange(0, 300, 20), stream.response.copy()
        response[rows] = -response[rows]
        for offer in offered(reference, stream._replace(response=response), per_hour=12):
            drawn += len(offer.candidates)
            for candidate in offer.candidates:
                row = stream.exchanges.index(candidate.exchange)
                hits += row in rows
                named += row in rows and any(
                    "address" in why or "something else" in why for why in candidate.reasons
                )
    assert hits / drawn > 3 * 15 / 300
    assert named >= 0.8 * hits


def test_unscored_exchanges_are_not_offered(reference: Baseline):
    """What the scorer refused has no p-value."""
    stream = World(start=0.0).make(20, seed=1)
    (offer,) = offered(reference, stream._replace(errors=dict.fromkeys(range(5), "refused")), per_hour=30)
    assert offer.seen == 15
    assert {c.exchange.id for c in offer.candidates} == {e.id for e in stream.exchanges[5:]}


def verdict(baseline: Baseline, kind: str, terms: tuple[str, ...], tier: Tier = Tier.MINOR) -> Verdict:
    """Return a verdict about one shift."""
    shift = Shift(kind=kind, name="n", baseline=0.1, window=0.4, terms=terms)
    return Verdict(route="default", arm="control", tier=tier, time=1.0, baseline=baseline.id, shifts=(shift,))


def test_the_focus_is_what_a_verdict_is_about(reference: Baseline):
    """Clusters are known again by their words; other tiers and other baselines have no focus."""
    terms = reference.prompt.terms[2]
    minor = verdict(reference, "prompt_cluster", terms)
    assert 2 in focus_of(minor, reference).prompt_clusters
    assert focus_of(verdict(reference, "new_cluster", ()), reference) == Focus(novel=True)
    assert focus_of(None, reference) == NOWHERE
    assert focus_of(verdict(reference, "prompt_cluster", terms, Tier.OK), reference) == NOWHERE
    assert focus_of(msgspec.structs.replace(minor, baseline="other"), reference) == NOWHERE


@pytest.mark.parametrize("kind", ["prompt_cluster", "response_cluster"])
def test_the_focus_weighs_four_times(reference: Baseline, kind: str):
    """Exchanges of the affected cluster weigh four times as much, and no others."""
    stream = World(start=0.0).make(60, seed=5)
    side = reference.prompt if kind == "prompt_cluster" else reference.response
    vectors = stream.prompt if kind == "prompt_cluster" else stream.response
    clusters = side.quantiser.assign(vectors).cluster
    wanted = int(np.bincount(clusters).argmax())
    about = {KEY: verdict(reference, kind, side.terms[wanted])}
    same = {k for k, terms in enumerate(side.terms) if terms == side.terms[wanted]}
    before, after = (
        {c.exchange.id: c.drawn.weight for c in offered(reference, stream, 60, verdicts)[0].candidates}
        for verdicts in ({}, about)
    )
    for row, e in enumerate(stream.exchanges):
        ratio = after[e.id] / before[e.id]
        assert ratio == pytest.approx(FOCUS if int(clusters[row]) in same else 1.0)
    assert min(before.values()) >= FLOOR
