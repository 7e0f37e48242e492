"""Scoring files of exchanges in batches, for commands that need no monitor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from monitor.contract import Exchange
from monitor.offline.exchange_file import ExchangeFile, Report, Skipped
from monitor.scorer import Scorer
from monitor.sketch.scored import Scored

Progress = Callable[[int, int], None]
_BATCH = 256


def read_file(
    path: str | Path, on_skip: Callable[[Skipped], None] | None = None
) -> tuple[list[Exchange], Report]:
    """Read a whole file of exchanges. Raises ExchangeFileError."""
    file = ExchangeFile(path, on_skip=on_skip)
    return list(file), file.report


def score_all(exchanges: Sequence[Exchange], scorer: Scorer, progress: Progress | None = None) -> Scored:
    """Score exchanges in batches; `progress` is told how many of how many are done. Raises ScorerUnavailable.

    A reward given in the file stands instead of the scorer's.
    """
    parts = []
    for start in range(0, len(exchanges), _BATCH):
        part = exchanges[start : start + _BATCH]
        scores = scorer.score([e.prompt for e in part], [e.response for e in part])
        given = np.array([np.nan if e.reward is None else e.reward for e in part], dtype=np.float32)
        reward = np.where(np.isnan(given), scores.reward, given)
        parts.append(
            (scores.prompt, scores.response, reward, {start + i: w for i, w in scores.errors.items()})
        )
        if progress:
            progress(start + len(part), len(exchanges))
    errors = {row: why for *_, found in parts for row, why in found.items()}
    return Scored(
        exchanges,
        np.concatenate([p[0] for p in parts]),
        np.concatenate([p[1] for p in parts]),
        np.concatenate([p[2] for p in parts]).astype(np.float32),
        errors,
    )
