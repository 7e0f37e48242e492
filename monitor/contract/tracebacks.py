"""Tracebacks that show where something failed and never with what.

Law: frames and the names of the exceptions, in the order of Python's own tracebacks. No message and no variable: an
exception's message often quotes what it was given, which here may be a user's words or a credential.
"""

from __future__ import annotations

import sys
import traceback
from types import TracebackType
from typing import Any

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

_CAUSED = "\nThat was the direct cause of:\n\n"
_DURING = "\nWhile that was handled:\n\n"


def without_messages(info: ExcInfo) -> str:
    """Write an exception, and those that led to it, without what they say."""
    links: list[tuple[BaseException, str]] = []
    error: BaseException | None = info[1]
    joint, seen = "", set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        links.append((error, joint))
        if error.__cause__ is not None:
            error, joint = error.__cause__, _CAUSED
        else:
            error, joint = (None if error.__suppress_context__ else error.__context__), _DURING
    return "".join(_one(found) + following for found, following in reversed(links)).rstrip("\n")


def _one(error: BaseException) -> str:
    kind = type(error)
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"Traceback (most recent call last):\n{frames}{kind.__module__}.{kind.__qualname__}\n"


def render_exception(_: object, __: str, event: Any) -> Any:
    """Put the traceback of a log line into its `exception` (a structlog processor)."""
    info = event.pop("exc_info", None)
    if isinstance(info, BaseException):
        info = (type(info), info, info.__traceback__)
    elif info and not isinstance(info, tuple):
        info = sys.exc_info()
    if info and info[1] is not None:
        event["exception"] = without_messages(info)
    return event
