"""Whatever merges obeys the same laws: merging is addition, exactly, in any order and any grouping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import msgspec
import numpy as np
import pytest

from monitor.baseline import Baseline
from monitor.sketch.bucket import Bucket
from monitor.sketch.features import extract
from monitor.sketch.fold import fold, fold_rows
from monitor.sketch.reservoir import KEPT, Kept, priority_of, smallest
from monitor.sketch.scored import Scored
from tests.monitor.synthetic import World


@dataclass(frozen=True)
class Kind:
    """One kind of sketch: how rows of a stream become it, its verbs, and what equality means."""

    fold: Callable[[Sequence[int]], Any]
    merge: Callable[[Any, Any], Any]
    empty: Any
    to_bytes: Callable[[Any], bytes]
    from_bytes: Callable[[bytes], Any]
    content: Callable[[Any], object]


def mixed_stream() -> Scored:
    """Give a stream with everything that is counted: refusals, errors, unscored and unrewarded exchanges."""
    scored = World(refusals=0.2, rate=7.0).make(120, seed=5)
    exchanges = [
        msgspec.structs.replace(
            e,
            status=500 if i % 17 == 0 else 200,
            complete=i % 13 != 0,
            finish_reason="length" if i % 11 == 0 else "stop",
            latency_s=None if i % 7 == 0 else e.latency_s,
            user=f"u{i % 4}" if i % 3 else None,
            time=0.0 if i % 19 == 0 else e.time,
        )
        for i, e in enumerate(scored.exchanges)
    ]
    reward = scored.reward.copy()
    reward[::9] = np.nan
    return Scored(exchanges, scored.prompt, scored.response, reward, {3: "refused by the scorer"})


def bucket_kind(baseline: Baseline) -> Kind:
    """Describe buckets."""
    stream = mixed_stream()
    features = extract(stream)
    encoded = baseline.encode(stream, features)
    return Kind(
        fold=lambda rows: fold_rows(baseline, stream, features, encoded, np.array(rows, dtype=np.intp)),
        merge=Bucket.merge,
        empty=Bucket.empty(baseline.id, baseline.shape),
        to_bytes=Bucket.to_bytes,
        from_bytes=Bucket.from_bytes,
        content=lambda b: (b.baseline, b.shape, b.vector.tolist(), b.sample, b.novel),
    )


def sample_kind(_: Baseline) -> Kind:
    """Describe bottom-k samples."""
    items = [Kept(priority_of(f"e{i % 90}"), f"e{i % 90}", f"p{i % 90}", "r", 0, 0, 0.5) for i in range(120)]
    return Kind(
        fold=lambda rows: smallest(items[row] for row in rows),
        merge=lambda a, b: smallest((*a, *b)),
        empty=(),
        to_bytes=msgspec.msgpack.encode,
        from_bytes=lambda data: msgspec.msgpack.decode(data, type=tuple[Kept, ...]),
        content=lambda kept: kept,
    )


@pytest.fixture(params=[bucket_kind, sample_kind], ids=["bucket", "sample"])
def kind(request: pytest.FixtureRequest, reference: Baseline) -> Kind:
    """Give each kind of sketch in turn."""
    described: Kind = request.param(reference)
    return described


def parts(seed: int) -> list[list[int]]:
    """Cut 120 rows into shuffled parts, some of them empty."""
    rng = np.random.default_rng(seed)
    part_of = rng.integers(0, 7, size=120)
    rows = rng.permutation(120)
    return [[int(row) for row in rows if part_of[row] == p] for p in range(8)]


@pytest.mark.parametrize("seed", range(4))
def test_parts_merge_to_the_whole(kind: Kind, seed: int):
    """Folding parts in any order and merging them equals folding the stream at once, to the last integer."""
    merged = reduce(kind.merge, map(kind.fold, parts(seed)), kind.empty)
    assert kind.content(merged) == kind.content(kind.fold(range(120)))


def test_merge_is_associative_and_commutative(kind: Kind):
    """Neither grouping nor order changes a merge."""
    a, b, c, *_ = map(kind.fold, parts(9))
    left, right = kind.merge(kind.merge(a, b), c), kind.merge(a, kind.merge(b, c))
    assert kind.content(left) == kind.content(right)
    assert kind.content(kind.merge(a, b)) == kind.content(kind.merge(b, a))


def test_empty_is_the_identity(kind: Kind):
    """Merging nothing changes nothing, from either side."""
    whole = kind.fold(range(120))
    assert kind.content(kind.merge(whole, kind.empty)) == kind.content(whole)
    assert kind.content(kind.merge(kind.empty, whole)) == kind.content(whole)
    assert kind.content(kind.fold([])) == kind.content(kind.empty)


def test_bytes_round_trip(kind: Kind):
    """What is stored is what is read, and it still merges."""
    a, b, *_ = map(kind.fold, parts(2))
    again = kind.from_bytes(kind.to_bytes(a))
    assert kind.content(again) == kind.content(a)
    assert kind.content(kind.merge(again, b)) == kind.content(kind.merge(a, b))


def test_merging_leaves_its_inputs_untouched(kind: Kind):
    """A sketch is a value."""
    a, b, *_ = map(kind.fold, parts(3))
    before = kind.to_bytes(a), kind.to_bytes(b)
    kind.merge(a, b)
    assert (kind.to_bytes(a), kind.to_bytes(b)) == before


def test_separate_folds_of_a_stream_merge_to_its_buckets(reference: Baseline):
    """Encoding and folding batch by batch gives the very buckets of the whole stream, minute by minute."""
    stream = mixed_stream()
    whole = fold(reference, stream)
    merged: dict[object, Bucket] = {}
    for start in range(0, 120, 11):
        for key, bucket in fold(reference, stream.take(range(start, min(120, start + 11)))).items():
            merged[key] = merged[key].merge(bucket) if key in merged else bucket
    assert merged.keys() == whole.keys()
    assert all(bucket.to_bytes() == merged[key].to_bytes() for key, bucket in whole.items())


def test_an_id_that_occurs_twice_is_sampled_once(reference: Baseline):
    """Repeated ids in a file do not crowd out other exchanges, folded at once or in parts."""
    stream = World().make(40, seed=1)
    stream = stream._replace(
        exchanges=[msgspec.structs.replace(e, id=f"e{i % 10}") for i, e in enumerate(stream.exchanges)]
    )
    (whole,) = fold(reference, stream._replace(exchanges=_same_minute(stream))).values()
    assert len(whole.sample) == KEPT
    assert len({kept.id for kept in whole.sample}) == KEPT


def _same_minute(stream: Scored) -> list[Any]:
    return [msgspec.structs.replace(e, time=600.0) for e in stream.exchanges]


def test_buckets_of_different_baselines_do_not_merge(reference: Baseline, baseline: Baseline):
    """Their clusters mean different things, so mixing them up is an error that names both."""
    mine, other = (Bucket.empty(b.id, b.shape) for b in (reference, baseline))
    with pytest.raises(ValueError, match=f"{reference.id} and {baseline.id} do not merge"):
        mine.merge(other)
    with pytest.raises(ValueError, match="do not merge"):
        mine.merge(Bucket.empty(reference.id, (2, 2)))
