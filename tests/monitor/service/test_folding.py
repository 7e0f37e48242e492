"""From judged batches to work for the ledger."""

from __future__ import annotations

import msgspec

from monitor.scorer.fake import FakeScorer
from monitor.service.folding import make_work, set_aside, take
from monitor.service.references import Reference
from monitor.service.scoring import score_exchanges
from monitor.store.packed import unpack


def judged(exchanges):
    """Judge exchanges with the test double."""
    return score_exchanges(FakeScorer(), exchanges, 64)


def test_a_route_with_a_baseline_gets_sketches(traffic, baseline):
    """One sketch for each arm and minute, every exchange counted once."""
    exchanges = [*traffic(5), *traffic(3, arm="candidate"), *traffic(2, time=2000.0, seed=2)]
    exchanges[0] = msgspec.structs.replace(exchanges[0], status=503)
    work = make_work(judged(exchanges), {"default": Reference(baseline.id, baseline)})
    assert {(key.arm, key.minute): bucket.n for key, bucket in work.deltas.items()} == {
        ("control", 16): 5,
        ("candidate", 16): 3,
        ("control", 33): 2,
    }
    assert {key[1:]: n for key, n in work.counts.items()} == {
        ("control", "scored"): 6,
        ("control", "skipped.error"): 1,
        ("candidate", "scored"): 3,
    }
    assert work.assumed == {"default": baseline.id}
    assert work.lessons == []


def test_a_route_without_one_gets_a_lesson(traffic, baseline):
    """All its rows are kept; those of the control arm that have a score count towards the baseline."""
    exchanges = [*traffic(4, route="new"), *traffic(2, route="new", arm="candidate"), *traffic(3)]
    exchanges[1] = msgspec.structs.replace(exchanges[1], complete=False)
    work = make_work(judged(exchanges), {"default": Reference(baseline.id, baseline)})
    (lesson,) = work.lessons
    assert (lesson.route, lesson.scorer, lesson.scored) == ("new", "fake-16", 3)
    assert list(unpack(lesson.body).exchanges) == exchanges[:6]
    assert work.assumed == {"new": None, "default": baseline.id}
    assert sum(work.counts.values()) == 9
    assert sum(bucket.n for bucket in work.deltas.values()) == 3


def test_scores_of_another_scorer_are_not_compared(traffic, baseline):
    """They are counted with the reason, and neither folded nor learnt from."""
    foreign = judged(traffic(4))._replace(scorer="other")
    work = make_work(foreign, {"default": Reference(baseline.id, baseline)})
    assert work.deltas == {}
    assert work.lessons == []
    assert {key.name: n for key, n in work.counts.items()} == {"skipped.unusable_baseline": 4}


def test_setting_aside_only_counts(traffic):
    """Exchanges that nobody can work on leave a count and nothing else."""
    work = set_aside([*traffic(2), *traffic(1, arm="candidate")], "fault")
    assert {key[1:]: n for key, n in work.counts.items()} == {
        ("control", "skipped.fault"): 2,
        ("candidate", "skipped.fault"): 1,
    }
    assert not work.deltas
    assert not work.lessons


def test_taking_rows_keeps_their_reasons(traffic):
    """A part of a judged lot is what judging that part would have given."""
    exchanges = traffic(4)
    exchanges[2] = msgspec.structs.replace(exchanges[2], status=500)
    part = take(judged(exchanges), [2, 3])
    assert part.skipped == {0: "error"}
    assert list(part.scored.exchanges) == exchanges[2:]
