"""Neighbouring landmarks taken together: a topic that arrives may gather at one landmark or spread over several.

Law: level 0 is every landmark by itself; each further level cuts one tree (Ward 1963) of the landmarks into fewer
groups, so what a level counts is the sum of what the level below it does. The tree depends on the landmarks alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import cut_tree, linkage

# Groups that the landmarks are cut into, level by level; a level needs more landmarks than groups.
_GROUPS = (128, 64, 32, 16)


def neighbourhoods(landmarks: NDArray[np.float32]) -> list[NDArray[np.intp]]:
    """Return for each level the group int (n,) of each of n landmarks float32 (n, dim)."""
    n = len(landmarks)
    levels = [np.arange(n, dtype=np.intp)]
    groups = [k for k in _GROUPS if k < n]
    if groups:
        cut = cut_tree(linkage(landmarks.astype(np.float64), "ward"), groups)
        levels += [column.astype(np.intp) for column in cut.T]
    return levels
