"""Logs: structlog to stderr, for a terminal or as JSON lines. Never a body, never a header's value.

Law: tracebacks show places and no messages, the libraries' and the event loop's included.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any, Literal

import structlog

from monitor.contract.tracebacks import render_exception


def set_up_logs(kind: Literal["console", "json"], **context: object) -> None:
    """Configure structlog and let the libraries' warnings through it."""

    def add_context(_: object, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        # Not a context variable: the mirror's threads have contexts of their own.
        return {**context, **event}

    shared: list[structlog.types.Processor] = [
        add_context,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        render_exception,
    ]
    renderer: structlog.types.Processor
    if kind == "json":
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
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


def log_loop_fault(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what nobody awaited (an event loop's exception handler); the loop's own would show values."""
    structlog.get_logger(__name__).error("fault in the event loop", exc_info=context.get("exception"))
