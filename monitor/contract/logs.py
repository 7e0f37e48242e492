"""Logs: the one shape of all processes, for a terminal or as JSON lines on stderr.

Law: every line has `event`, `level`, `timestamp` and `process`, those of libraries included; a line about an exchange has
its id as `exchange`. Never a body, never a header's value: tracebacks show places and no messages. It stands here because
both packages may import it and the shape is part of what they share; only command lines and start-ups call it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Literal

import structlog

from monitor.contract.tracebacks import render_exception


def set_up_logs(
    kind: Literal["console", "json"], process: str, *, unsaid: Sequence[str] = (), **context: object
) -> None:
    """Configure structlog and let the libraries' warnings through it, less those with one of `unsaid` in them."""
    always = {"process": process, **context}

    def add_context(_: object, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        # Not a context variable: threads have contexts of their own.
        return {**always, **event}

    shared: list[structlog.types.Processor] = [
        add_context,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        render_exception,
    ]
    renderer: structlog.types.Processor = structlog.processors.JSONRenderer()
    if kind == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    handler.addFilter(lambda record: not any(words in record.getMessage() for words in unsaid))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
