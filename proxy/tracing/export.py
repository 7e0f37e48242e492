"""Sending spans to an OTLP receiver: a bounded queue and a thread that posts batches (OTLP/HTTP, protobuf).

Law: `observe` never blocks and never raises. A span that finds the queue full is dropped; one that the receiver refuses
for good, or that is left at the end, has failed; both are counted, as are those sent. What may go better later (no
connection, 429, 502, 503, 504; OTLP specification, section "Failures") is tried again with growing pauses while the
queue takes in what it can. No environment variable and no proxy's setting of the machine is followed.
"""

from __future__ import annotations

import importlib.util
import ssl
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import structlog

from monitor.contract import Exchange
from monitor.contract.config import ConfigError, Secret, Traces
from proxy.capture import Capture
from proxy.scoreboard import Scoreboard
from proxy.slots import INDEX
from proxy.tracing.spans import Describer, Span

if TYPE_CHECKING:
    import httpx

log = structlog.get_logger(__name__)

BATCH, EVERY_S = 512, 1.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
# A receiver is near and answers at once, or it is ill.
TIMEOUT_S, LAST_TIMEOUT_S = 5.0, 1.5
# What it says is a few bytes; a wrong one may say anything, at any pace.
ANSWER_BYTES = 64 * 1024
RETRIED = frozenset({429, 502, 503, 504})
_SENT, _DROPPED, _FAILED = (INDEX[f"spans.{outcome}"] for outcome in ("sent", "dropped", "failed"))


def check_traces(traces: Traces) -> None:
    """Find what sending needs. Raises ConfigError."""
    if traces.endpoint and not _installed("opentelemetry", "opentelemetry.proto"):
        raise ConfigError(
            f"proxy.traces.endpoint: got {traces.endpoint!r}; expected driftgate[otel] to be installed "
            "(pip install 'driftgate[otel]')"
        )


def _installed(*names: str) -> bool:
    # One after the other: to look for a part of a package that is absent is an error.
    return all(importlib.util.find_spec(name) is not None for name in names)


class Receiver(NamedTuple):
    """Where spans go and what they say of their sender."""

    endpoint: str
    authorization: Secret | None
    context: ssl.SSLContext | None
    # Of the resource: the version and the worker's name.
    version: str
    instance: str


class Tracer(threading.Thread):
    """Takes spans in and sends them. `describe` may be replaced between two exchanges."""

    def __init__(self, receiver: Receiver, describe: Describer, board: Scoreboard, limit: int) -> None:
        super().__init__(name="traces", daemon=True)
        self.describe = describe
        self._receiver = receiver
        self._slots = board.slots
        self._limit = limit
        self._queue: deque[Span] = deque()
        self._stopping = threading.Event()
        self._away = False

    def observe(self, capture: Capture, exchange: Exchange) -> None:
        """Leave an exchange's span to be sent; called by the mirror's thread."""
        span = self.describe(capture, exchange)
        if span is None:
            return
        if len(self._queue) >= self._limit:
            self._slots[_DROPPED] += 1
        else:
            self._queue.append(span)

    def stop(self, timeout_s: float) -> bool:
        """Send what waits, once, and end; False when the receiver hung beyond the time."""
        self._stopping.set()
        self.join(timeout_s)
        return not self.is_alive()

    def run(self) -> None:
        """Send until stopped, then try once more."""
        import httpx  # noqa: PLC0415 - memory, only where traces are configured

        verify = self._receiver.context or ssl.create_default_context()
        with httpx.Client(trust_env=False, verify=verify, timeout=TIMEOUT_S) as client:
            pause = FIRST_PAUSE_S
            while not self._stopping.wait(EVERY_S):
                while self._queue and not self._stopping.is_set():
                    if self._deliver(client, TIMEOUT_S):
                        pause = FIRST_PAUSE_S
                    else:
                        self._stopping.wait(pause)
                        pause = min(2.0 * pause, LONGEST_PAUSE_S)
            while self._queue and self._deliver(client, LAST_TIMEOUT_S):
                pass
        self._slots[_FAILED] += len(self._queue)

    def _deliver(self, client: httpx.Client, timeout_s: float) -> bool:
        """Send a batch from the queue's head; False when it stays there to be tried again."""
        from proxy.tracing.otlp import encode, rejected  # noqa: PLC0415 - an optional library

        batch = [self._queue[i] for i in range(min(BATCH, len(self._queue)))]
        status, body = self._post(
            client, encode(batch, self._receiver.version, self._receiver.instance), timeout_s
        )
        if not status or status in RETRIED:
            self._tell(away=True, status=status)
            return False
        refused = rejected(body, len(batch)) if 200 <= status < 300 else len(batch)
        self._slots[_SENT] += len(batch) - refused
        self._slots[_FAILED] += refused
        self._tell(away=refused > 0, status=status)
        for _ in batch:
            self._queue.popleft()
        return True

    def _post(self, client: httpx.Client, payload: bytes, timeout_s: float) -> tuple[int, bytes]:
        """Return status and body of the answer; 0 where there was none."""
        import httpx  # noqa: PLC0415 - as above

        headers = {b"content-type": b"application/x-protobuf", b"user-agent": b"driftgate"}
        if self._receiver.authorization is not None:
            headers[b"authorization"] = self._receiver.authorization.reveal().encode()
        body, deadline = b"", time.monotonic() + timeout_s
        try:
            with client.stream(
                "POST", self._receiver.endpoint, content=payload, headers=headers, timeout=timeout_s
            ) as answer:
                for part in answer.iter_raw():
                    body += part
                    if len(body) > ANSWER_BYTES or time.monotonic() > deadline:
                        break
                return answer.status_code, body
        except httpx.HTTPError:
            return 0, b""

    def _tell(self, *, away: bool, status: int) -> None:
        """Log the change, not every attempt; nothing of what the receiver says."""
        if away and not self._away:
            log.warning("traces cannot be delivered", endpoint=self._receiver.endpoint, status=status)
        elif self._away and not away:
            log.info("traces are delivered again", endpoint=self._receiver.endpoint)
        self._away = away
