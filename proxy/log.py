"""Logs: structlog to stderr, for a terminal or as JSON lines. Never a body, never a header's value."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog


def set_up_logs(kind: Literal["console", "json"], **context: object) -> None:
    """Configure structlog and let the libraries' warnings through it."""

    def add_context(_: object, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        # Not a context variable: the mirror's threads have contexts of their own.
        return {**context, **event}

    shared: list[structlog.types.Processor] = [
        add_context,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
    ]
    renderer: structlog.types.Processor
    if kind == "json":
        shared.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    _adopt_library_logs(shared, renderer)


def _adopt_library_logs(shared: list[structlog.types.Processor], renderer: structlog.types.Processor) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    handler.addFilter(_worth_telling)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


# Ends that are meant (the forwarder ends a broken response so) and noise that scanners make.
_EXPECTED = ("ASGI callable returned without completing response", "Invalid HTTP request", "upgrade request")


def _worth_telling(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not any(expected in message for expected in _EXPECTED) and "WebSocket library" not in message
