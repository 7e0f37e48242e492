"""The tee: what is kept of an exchange while it passes.

Law: nothing here parses, copies or waits. A capture appends references to chunks and notes points in time, within
two bounds: bytes per body and bytes of all captures together (`Budget`). Beyond either it lets everything go and
remembers why; the exchange is then counted as dropped, and the client never notices.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

# What a kept chunk costs beside its bytes: the object's header and its place in a list.
CHUNK_OVERHEAD = 64
# What a capture costs without any chunk: 570 bytes by tracemalloc, and some for what it becomes.
CAPTURE_OVERHEAD = 1024


class Budget:
    """Bytes that all captures of a worker may hold, from their first chunk until they are on the bus.

    Two threads, a counter for each: the serving thread takes (and gives back what it lets go), the writer frees.
    """

    __slots__ = ("freed", "limit", "taken")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        self.freed = 0

    @property
    def used(self) -> int:
        """Bytes held now."""
        return self.taken - self.freed


class ExchangeIds:
    """Ids that sort by time: 12 hex digits of milliseconds, 10 of the process, 6 of a counter (cf. UUIDv7)."""

    def __init__(self, process: int | None = None) -> None:
        number = random.SystemRandom().getrandbits(40) if process is None else process
        self._process = f"{number & 0xFFFFFFFFFF:010x}"
        self._counter = itertools.count()

    def next(self, now: float) -> str:
        """Return a new id for an exchange that began at the epoch second `now`."""
        return f"{int(now * 1000):012x}{self._process}{next(self._counter) & 0xFFFFFF:06x}"


class Capture:
    """One exchange in raw form."""

    __slots__ = (
        "arm", "began", "budget", "content_coding", "content_type", "drop", "end", "ended", "endpoint", "first_byte",
        "held", "id", "limit", "request", "request_bytes", "request_coding", "response", "response_bytes", "route",
        "status", "time", "user", "variant",
    )  # fmt: skip

    def __init__(self, exchange_id: str, time: float, began: float, budget: Budget, limit: int) -> None:
        self.id = exchange_id
        # Epoch second of the request's arrival, and the same moment on the monotonic clock.
        self.time = time
        self.began = began
        self.budget = budget
        self.limit = limit
        self.held = CAPTURE_OVERHEAD
        budget.taken += CAPTURE_OVERHEAD
        self.drop = "" if budget.used <= budget.limit else "queue_full"
        self.request: list[bytes] = []
        self.response: list[bytes] = []
        self.request_bytes = 0
        self.response_bytes = 0
        self.status = 0
        self.first_byte: float | None = None
        self.ended = began
        # Why the exchange ended early: `client_left` or a fault's code; empty when it came to its end.
        self.end = ""
        self.endpoint = self.route = self.arm = self.variant = self.user = ""
        self.request_coding = self.content_coding = self.content_type = b""

    def keep_request(self, chunk: bytes) -> None:
        """Keep a part of the request's body."""
        self.request_bytes += len(chunk)
        if self._fits(len(chunk), self.request_bytes):
            self.request.append(chunk)

    def keep_response(self, chunk: bytes, clock: Callable[[], float]) -> None:
        """Keep a part of the response's body."""
        if self.first_byte is None:
            self.first_byte = clock()
        self.response_bytes += len(chunk)
        if self._fits(len(chunk), self.response_bytes):
            self.response.append(chunk)

    def _fits(self, size: int, body_bytes: int) -> bool:
        if self.drop:
            return False
        if body_bytes > self.limit:
            self.let_go("too_large")
            return False
        budget = self.budget
        budget.taken += size + CHUNK_OVERHEAD
        self.held += size + CHUNK_OVERHEAD
        if budget.taken - budget.freed > budget.limit:
            self.let_go("queue_full")
            return False
        return True

    def let_go(self, reason: str) -> None:
        """Stop keeping this exchange; called by the serving thread only."""
        self.drop = reason
        self.request, self.response = [], []
        self.budget.taken -= self.held
        self.held = 0
