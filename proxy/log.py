"""What of the libraries' and the event loop's news the proxy's log leaves out or tells in its own words."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

# Ends that are meant (the forwarder ends a broken response so) and noise that scanners make.
UNSAID = (
    "ASGI callable returned without completing response",
    "Invalid HTTP request",
    "upgrade request",
    "WebSocket library",
)


def log_loop_fault(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what nobody awaited (an event loop's exception handler); the loop's own would show values."""
    structlog.get_logger(__name__).error("fault in the event loop", exc_info=context.get("exception"))
