"""Neighbourhoods of landmarks: nested groups, of what lies close, that depend on the landmarks alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from monitor.baseline.neighbourhoods import neighbourhoods

RNG = np.random.default_rng(0)
# Twenty bundles of ten landmarks each.
BUNDLES = np.repeat(np.arange(20), 10)
CENTRES = RNG.normal(size=(20, 24))
LANDMARKS = (CENTRES[BUNDLES] + 0.02 * RNG.normal(size=(200, 24))).astype(np.float32)


def test_levels_are_nested() -> None:
    """Two landmarks of one group are together on every coarser level, too, and no level has an empty group."""
    levels = neighbourhoods(LANDMARKS)
    assert [len(np.unique(level)) for level in levels] == [200, 128, 64, 32, 16]
    for fine, coarse in pairwise(levels):
        assert max(len(np.unique(coarse[fine == group])) for group in np.unique(fine)) == 1


def test_what_lies_close_is_together() -> None:
    """With fewer groups than bundles no bundle is torn apart."""
    coarsest = neighbourhoods(LANDMARKS)[-1]
    assert all(len(np.unique(coarsest[np.equal(BUNDLES, bundle)])) == 1 for bundle in range(20))


def test_few_landmarks_have_few_levels() -> None:
    """A level needs more landmarks than groups; equal landmarks do no harm."""
    assert len(neighbourhoods(LANDMARKS[:2])) == 1
    assert len(neighbourhoods(np.zeros((40, 8), dtype=np.float32))) == 3
