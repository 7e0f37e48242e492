"""A bucket is read by name and survives storage; its laws of merging are in `laws/`."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.baseline import Baseline
from monitor.sketch.bucket import Bucket
from monitor.sketch.features import extract
from monitor.sketch.fold import fold_rows
from tests.monitor.synthetic import World


def test_counts_and_sums_are_read_by_name(reference: Baseline):
    """What was folded is found again: exchanges, answers, the sum of rewards."""
    stream = World().make(100, seed=1)
    features = extract(stream)
    bucket = fold_rows(reference, stream, features, reference.encode(stream, features), np.arange(100))
    assert (bucket.n, bucket.count("answers"), bucket.count("errors")) == (100, 100, 0)
    assert bucket.total("reward") == pytest.approx(float(stream.reward.sum()), abs=1e-2)
    assert bucket.read("prompt_clusters").sum() == 100
    assert len(bucket.to_bytes()) < 8000


@pytest.mark.parametrize("data", [b"", b"nonsense", b"\x95\x01"])
def test_damaged_buckets_are_refused(data: bytes):
    """Damaged bytes end in one ValueError."""
    with pytest.raises(ValueError, match="damaged bucket"):
        Bucket.from_bytes(data)


def test_a_cut_off_bucket_is_refused(reference: Baseline):
    """A vector of another length than its shape asks for is damage, not data."""
    whole = reference.reference
    cut = Bucket(whole.baseline, whole.shape, whole.vector[:-1]).to_bytes()
    with pytest.raises(ValueError, match="damaged bucket"):
        Bucket.from_bytes(cut)
