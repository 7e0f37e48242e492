"""One run for many requests, one answer for each.

Law of this file: pure. Requests are stacked and run once; when the stack is refused each request runs alone, so that
what is wrong with one fails that one only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A request's inputs, one sequence each, all of the request's rows; its answer has one array for each output.
Columns = Sequence[Sequence[Any]]
Answer = tuple[NDArray[Any], ...]
# What a model may raise about the rows it was given (torch reports exhausted memory as RuntimeError).
REFUSALS = (ValueError, RuntimeError, MemoryError)


def run_stacked(requests: Sequence[Columns], run: Callable[..., Answer]) -> list[Answer | Exception]:
    """Run all rows of all requests at once; return each request's answer, or why it has none."""
    try:
        answer = run(*(list(chain.from_iterable(columns)) for columns in zip(*requests, strict=True)))
    except REFUSALS as error:
        if len(requests) == 1:
            return [error]
        return [answer for request in requests for answer in run_stacked([request], run)]
    ends = np.cumsum([len(request[0]) for request in requests])[:-1]
    return list(zip(*(np.split(output, ends) for output in answer), strict=True))
