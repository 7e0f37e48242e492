"""Features of scored exchanges that need no baseline: which rows can be judged, and how they are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.contract import Exchange
from monitor.sketch.cells import cells_of
from monitor.sketch.scored import Scored
from monitor.text.style import (
    PROMPT_FEATURES,
    RESPONSE_FEATURES,
    prompt_style,
    response_style,
    style_matrix,
)

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

_TRUNCATED = frozenset({"length", "max_tokens", "max_output_tokens"})


class Features(NamedTuple):
    """Of n exchanges: masks and counts bool (n,), styles float64 (n, features), `latency`, `ttft` log s or NaN.

    `prompted`: the prompt has an embedding. `answered`: so has a complete answer, which can be judged. `prompt_cell`,
    `user_cell` int (n,): see `cells`; -1 where there is none.
    """

    prompted: Mask
    answered: Mask
    prompt_style: Floats
    response_style: Floats
    latency: Floats
    ttft: Floats
    prompt_cell: NDArray[np.intp]
    user_cell: NDArray[np.intp]
    flags: dict[str, Mask]


def extract(scored: Scored) -> Features:
    """Return the features of scored exchanges, row by row."""
    exchanges = scored.exchanges
    n = len(exchanges)
    fine = np.ones(n, dtype=bool)
    fine[list(scored.errors)] = False
    prompted = fine & scored.prompt.any(axis=1)
    served = _mask(n, (e.status < 400 and e.error is None for e in exchanges))
    complete = _mask(n, (e.complete for e in exchanges))
    answered = prompted & served & complete & scored.response.any(axis=1)
    silent = _mask(
        n, (e.response is not None and not e.response.strip() and not e.tool_calls for e in exchanges)
    )
    response = style_matrix(response_style, (e.response or "" for e in exchanges))
    worded = response[:, _REFUSAL] > 0
    flags = {
        "errors": ~served,
        "incomplete": served & ~complete,
        "empty": served & complete & silent,
        "truncated": _mask(n, (e.finish_reason in _TRUNCATED for e in exchanges)),
        "refused": _mask(n, (e.refused for e in exchanges)) | (answered & worded),
        "tool_calls": _mask(n, (bool(e.tool_calls) for e in exchanges)),
        "unscored": ~fine,
    }
    return Features(
        prompted,
        answered,
        _asked(exchanges),
        response,
        _log_seconds(e.latency_s for e in exchanges),
        _log_seconds(e.ttft_s for e in exchanges),
        cells_of((e.prompt for e in exchanges), n),
        cells_of((e.user for e in exchanges), n),
        flags,
    )


_REFUSAL = RESPONSE_FEATURES.index("refusal")
_LENGTH = PROMPT_FEATURES.index("length")


def _asked(exchanges: Sequence[Exchange]) -> Floats:
    """Return the style of the prompts; their length is that of everything the model was given to read."""
    style = style_matrix(prompt_style, (e.prompt for e in exchanges))
    given = np.fromiter((e.context_chars for e in exchanges), dtype=np.float64, count=len(exchanges))
    style[:, _LENGTH] = np.maximum(style[:, _LENGTH], np.log1p(given))
    return style


def _mask(n: int, values: Iterable[bool]) -> Mask:
    return np.fromiter(values, dtype=bool, count=n)


def _log_seconds(values: Iterable[float | None]) -> Floats:
    seconds = np.array([np.nan if v is None or v < 0 else v for v in values], dtype=np.float64)
    logs: Floats = np.log(seconds + 1e-3)
    return logs
