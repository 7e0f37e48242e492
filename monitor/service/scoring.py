"""From exchanges to scored exchanges: what is sent to the scorer, and why the rest is not.

Law of this file: every exchange leaves it with a row, and with the reason where that row holds no score. An exchange
that failed or was cut short is counted and not scored. The scorer's refusal of one exchange is not the others'.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from monitor.contract import Exchange
from monitor.scorer import Scorer, Scores
from monitor.sketch.scored import Scored

# Why an exchange is counted and not scored; `docs/operations.md` says what each means.
SkipReason = Literal["error", "incomplete", "empty", "refused_by_scorer", "unusable_baseline", "fault"]


class Judged(NamedTuple):
    """Scored exchanges, the identity of what scored them, and row -> reason of those without a score."""

    scored: Scored
    scorer: str
    skipped: dict[int, SkipReason]


def reason_not_to_score(exchange: Exchange) -> SkipReason | None:
    """Return why an exchange is not scored, in one word, or None."""
    if exchange.status >= 400 or exchange.error is not None:
        return "error"
    if not exchange.complete:
        return "incomplete"
    if not exchange.prompt.strip() and not (exchange.response or "").strip():
        return "empty"
    return None


def score_exchanges(scorer: Scorer, exchanges: Sequence[Exchange], batch: int) -> Judged:
    """Score exchanges, `batch` at a time (one at least is given). Raises ScorerUnavailable."""
    skipped = {row: why for row, x in enumerate(exchanges) if (why := reason_not_to_score(x)) is not None}
    # Where all are skipped one is asked for nevertheless: its score tells the size of embeddings.
    rows = [row for row in range(len(exchanges)) if row not in skipped] or [0]
    scores = _score_rows(scorer, [exchanges[row] for row in rows], batch)
    kept = np.array([i for i, row in enumerate(rows) if row not in skipped], dtype=np.intp)
    place = np.array(rows, dtype=np.intp)[kept]
    n, dim = len(exchanges), scores.prompt.shape[1]
    prompt, response = np.zeros((n, dim), np.float32), np.zeros((n, dim), np.float32)
    reward = np.full(n, np.nan, np.float32)
    prompt[place], response[place], reward[place] = (
        scores.prompt[kept],
        scores.response[kept],
        scores.reward[kept],
    )
    errors = {rows[i]: why for i, why in scores.errors.items() if rows[i] not in skipped}
    skipped |= dict.fromkeys(errors, "refused_by_scorer")
    return Judged(Scored(exchanges, prompt, response, reward, errors), scorer.identity, skipped)


def _score_rows(scorer: Scorer, exchanges: Sequence[Exchange], batch: int) -> Scores:
    parts, errors = [], {}
    for start in range(0, len(exchanges), batch):
        part = exchanges[start : start + batch]
        scores = scorer.score([x.prompt for x in part], [x.response for x in part])
        errors.update({start + row: why for row, why in scores.errors.items()})
        parts.append(scores)
    if len(parts) == 1:
        return parts[0]
    prompt, response, reward = (np.concatenate([part[i] for part in parts]) for i in range(3))
    return Scores(prompt, response, reward, errors)
