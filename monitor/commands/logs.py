"""Where a command's own log lines go: stderr, for people or as JSON."""

from __future__ import annotations

import sys
from typing import Literal

import structlog


def logs_to_stderr(kind: Literal["console", "json"]) -> None:
    """Configure structlog for this process, without importing the running monitor."""
    renderer: structlog.types.Processor = structlog.processors.JSONRenderer()
    if kind == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    steps: list[structlog.types.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        renderer,
    ]
    structlog.configure(steps, logger_factory=structlog.PrintLoggerFactory(sys.stderr))
