"""Scored exchanges as bytes."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.sketch.scored import Scored
from monitor.store.packed import joined, pack, unpack


def assert_equal(a: Scored, b: Scored) -> None:
    """Compare two lots of scored exchanges, bit for bit."""
    assert list(a.exchanges) == list(b.exchanges)
    assert a.errors == b.errors
    for one, other in zip(a[1:4], b[1:4], strict=True):
        np.testing.assert_array_equal(one, other)
        assert other.dtype == np.float32


def test_packing_changes_nothing(traffic, scored):
    """Exchanges, embeddings, rewards and errors come back as they were."""
    rows = scored(traffic(7))
    rows.errors[3] = "refused"
    assert_equal(rows, unpack(pack(rows)))


def test_joined_is_all_rows_in_order(traffic, scored):
    """Joining the parts of a lot gives the lot, errors at their new rows."""
    rows = scored(traffic(9))
    rows.errors[5] = "refused"
    parts = [rows.take([0, 1, 2, 3]), rows.take([4, 5, 6, 7, 8])]
    assert parts[1].errors == {1: "refused"}
    assert_equal(rows, joined(parts))


def test_damage_is_an_error(traffic, scored):
    """Cut or foreign bytes are a ValueError, not garbage."""
    body = pack(scored(traffic(3)))
    for damaged in (body[:-1], b"", b"\x93abc"):
        with pytest.raises(ValueError, match="damaged"):
            unpack(damaged)
