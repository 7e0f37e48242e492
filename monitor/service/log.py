"""Logs: structlog to stderr, for a terminal or as JSON lines. Never a prompt, never a response."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

from monitor.contract.tracebacks import render_exception


def set_up_logs(kind: Literal["console", "json"]) -> None:
    """Configure structlog for this process; libraries' warnings go to stderr as they are."""
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if kind == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            render_exception,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
