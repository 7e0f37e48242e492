"""The tee: what is kept of an exchange while it passes.

Law: nothing here parses, copies or waits. A capture appends references to chunks and notes points in time, within
two bounds: bytes per body and bytes of all captures together (`Budget`). Beyond either it lets everything go and
remembers why; the exchange is then counted as dropped, and the client never notices.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import msgspec

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


class Capture(msgspec.Struct, gc=False):
    """One exchange in raw form.

    The garbage collector need not know it: it refers to nothing that could refer to it.
    """

    id: str
    # Epoch second of the request's arrival, and the same moment on the monotonic clock.
    time: float
    began: float
    budget: Budget
    limit: int
    endpoint: str = ""
    request_coding: bytes = b""
    user: str = ""
    # Bytes of the budget that this capture holds; whoever makes it takes `CAPTURE_OVERHEAD` for it.
    held: int = 0
    drop: str = ""
    request: list[bytes] = []
    response: list[bytes] = []
    request_bytes: int = 0
    response_bytes: int = 0
    status: int = 0
    first_byte: float | None = None
    ended: float = 0.0
    # Why the exchange ended early: `client_left` or a fault's code; empty when it came to its end.
    end: str = ""
    route: str = ""
    arm: str = ""
    variant: str = ""
    content_coding: bytes = b""
    content_type: bytes = b""
    # The caller's trace, as its header says; kept only where traces are made.
    traceparent: bytes = b""

    def keep_request(self, chunk: bytes) -> None:
        """Keep a part of the request's body."""
        # Written out here and below: a call for each part would cost as much as what it does.
        size = self.request_bytes + len(chunk)
        if size > self.limit or self.drop:
            self._refuse()
            return
        budget, more = self.budget, len(chunk) + CHUNK_OVERHEAD
        budget.taken += more
        self.held += more
        self.request_bytes = size
        self.request.append(chunk)
        if budget.taken - budget.freed > budget.limit:
            self.let_go("queue_full")

    def keep_response(self, chunk: bytes, clock: Callable[[], float]) -> None:
        """Keep a part of the response's body."""
        if self.first_byte is None:
            self.first_byte = clock()
        size = self.response_bytes + len(chunk)
        if size > self.limit or self.drop:
            self._refuse()
            return
        budget, more = self.budget, len(chunk) + CHUNK_OVERHEAD
        budget.taken += more
        self.held += more
        self.response_bytes = size
        self.response.append(chunk)
        if budget.taken - budget.freed > budget.limit:
            self.let_go("queue_full")

    def _refuse(self) -> None:
        if not self.drop:
            self.let_go("too_large")

    def let_go(self, reason: str) -> None:
        """Stop keeping this exchange; called by the serving thread only."""
        self.drop = reason
        self.request, self.response = [], []
        self.budget.taken -= self.held
        self.held = 0
