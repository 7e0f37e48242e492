"""uvicorn's configuration, with what our protocol needs beside it. A running server may be given other limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import uvicorn

from monitor.contract.config import Limits
from proxy.file_limit import Room


class EdgeConfig(uvicorn.Config):
    """What connections look at.

    `count` hears the names of counters: of faults that come before there is an exchange, and of connections closed.
    `room`: how many clients there is room for; None: no limit.
    """

    def __init__(
        self,
        app: Any,
        *,
        limits: Limits,
        count: Callable[[str], None],
        room: Room | None = None,
        **options: Any,
    ) -> None:
        super().__init__(app, **options)
        self.limits = limits
        self.room = room
        self.count = count
