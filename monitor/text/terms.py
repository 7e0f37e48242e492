"""Words that name a group of texts: frequent in it, rare elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer

# Words are taken from this many texts of a group at most, and from this much of each.
_TEXTS, _CHARS = 4000, 600
_WORD = r"(?u)\b[^\W\d_]{3,}\b"


def top_terms(
    texts: Sequence[str], group: NDArray[np.intp], groups: int, terms: int = 5
) -> tuple[tuple[str, ...], ...]:
    """Return for each of `groups` the words whose share of texts exceeds that elsewhere most (log odds, smoothed).

    `group` int (n,) tells which group a text belongs to.
    """
    texts = [text[:_CHARS] for text in texts[:_TEXTS]]
    group = group[:_TEXTS]
    counter = CountVectorizer(stop_words="english", binary=True, max_features=5000, token_pattern=_WORD)
    try:
        seen = counter.fit_transform(texts)
    except ValueError:  # nothing but stop words
        return ((),) * groups
    words = counter.get_feature_names_out()
    everywhere = np.asarray(seen.sum(axis=0)).ravel()
    return tuple(_best(words, seen, everywhere, group == g, terms) for g in range(groups))


def _best(
    words: NDArray[np.str_], seen: object, everywhere: NDArray[np.int64], mine: NDArray[np.bool_], terms: int
) -> tuple[str, ...]:
    size, rest = int(mine.sum()), int((~mine).sum())
    if not size:
        return ()
    here = np.asarray(seen[mine].sum(axis=0)).ravel()  # type: ignore[index]  # a scipy sparse matrix
    odds = np.log((here + 0.5) / (size + 1.0)) - np.log((everywhere - here + 0.5) / (rest + 1.0))
    # A word must be common enough to stand for the group, not just peculiar to one text.
    weight = odds * np.sqrt(here) * (here >= min(2, size))
    order = np.argsort(-weight)[:terms]
    return tuple(str(words[i]) for i in order if weight[i] > 0)
