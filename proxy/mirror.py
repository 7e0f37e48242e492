"""The mirror: from captures to batches on the bus, in a thread of its own.

Law: `offer` appends to a queue and returns; it never blocks, never raises and wakes nobody. The writer thread looks
every `LOOK_S` while there is traffic, assembles, publishes a full batch or what is `flush_s` old, and retries with
growing pauses while the bus is away; what waits meanwhile is bounded by the budget, and what no longer fits is dropped
at capture and counted. The law of counting: received = mirrored + dropped by reason + pending, and pending is 0 after a
flush.

`except Exception` stands here once: a capture that assembling cannot handle is counted (`internal`), logged, and
must not take the others with it.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import structlog

from monitor.bus import Bus, BusError
from monitor.contract import Exchange
from monitor.contract.config import Mirror as MirrorConfig
from proxy.assemble import MALFORMED, Assembler, user_hash
from proxy.capture import CAPTURE_OVERHEAD, Budget, Capture, ExchangeIds
from proxy.headers import NO_FACTS, Headers, RequestFacts, request_facts
from proxy.scoreboard import Scoreboard
from proxy.slots import INDEX

log = structlog.get_logger(__name__)

# Exchanges in one publish: large enough to share a commit, small enough to encode in well under a millisecond.
BATCH = 200
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
# The interpreter runs one thread at a time: what is assembled at once holds the serving thread.
LOOK_S = 0.005

_DROPPED = {name.removeprefix("dropped."): i for name, i in INDEX.items() if name.startswith("dropped.")}
_MIRRORED = INDEX["mirrored"]
# An exchange's `error` -> the reason for which it is not whole; any other is the upstream's doing.
_PARTIAL = {
    "client_left": INDEX["partial.client_left"],
    "draining": INDEX["partial.draining"],
    "stream_truncated": INDEX["partial.truncated"],
    "too_large_decoded": INDEX["partial.unreadable"],
    **dict.fromkeys(MALFORMED, INDEX["partial.unreadable"]),
}
_PARTIAL_UPSTREAM = INDEX["partial.upstream"]


class Clock(NamedTuple):
    """Epoch seconds and monotonic seconds."""

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.perf_counter


class Mirror:
    """The serving thread's side: decides what is captured and takes captures in."""

    def __init__(self, config: MirrorConfig, board: Scoreboard, salt: bytes, clock: Clock) -> None:
        self._slots = board.slots
        self._users = Users(salt)
        self._ids = ExchangeIds()
        self.clock = clock
        self.budget = Budget(config.queue_bytes)
        self.queue: deque[Capture] = deque()
        self.reconfigure(config)

    def reconfigure(self, config: MirrorConfig) -> None:
        """Go on with another configuration; called by the serving thread."""
        self._config = config
        self._share = int(config.sample * 2**64)
        self._everything = config.enabled and config.sample >= 1.0
        self.budget.limit = config.queue_bytes

    def new_id(self, now: float) -> str:
        """Return the id of an exchange that begins now."""
        return self._ids.next(now)

    def begin(
        self, exchange_id: str, now: float, began: float, endpoint: str, headers: Headers
    ) -> Capture | None:
        """Start a capture, or count why there is none; `now` and `began` are one moment on both clocks."""
        facts = request_facts(headers) if endpoint else NO_FACTS
        if not self._everything or not endpoint or facts.opted_out:
            reason = self._reason_against(exchange_id, endpoint, facts)
            if reason:
                self._slots[_DROPPED[reason]] += 1
                return None
        user = self._users.of(facts.credential) if facts.credential else ""
        limit, budget = self._config.max_body_bytes, self.budget
        budget.taken += CAPTURE_OVERHEAD
        capture = Capture(
            exchange_id, now, began, budget, limit, endpoint, facts.coding, user, CAPTURE_OVERHEAD
        )
        if budget.taken - budget.freed > budget.limit:
            capture.drop = "queue_full"
        return capture

    def _reason_against(self, exchange_id: str, endpoint: str, facts: RequestFacts) -> str:
        if not self._config.enabled:
            return "mirror_off"
        if not endpoint:
            return "endpoint"
        if facts.opted_out:
            return "opted_out"
        return "" if sampled(exchange_id, self._share) else "sampled_out"

    def offer(self, capture: Capture, ended: float) -> None:
        """Take in a capture that has ended (on the monotonic clock), or count why not. Never blocks, never raises."""
        capture.ended = ended
        if capture.drop:
            self._slots[_DROPPED[capture.drop]] += 1
            if capture.held:
                capture.let_go(capture.drop)
        else:
            self.queue.append(capture)


class Users:
    """The hashes of the latest users, so that each is made once.

    A credential is never kept: what is looked up is Python's own keyed hash of it (SipHash, PEP 456).
    """

    def __init__(self, salt: bytes, room: int = 4096) -> None:
        self._salt = salt
        self._room = room
        self._known: dict[int, str] = {}

    def of(self, credential: bytes) -> str:
        """Return the hash of the user whom a credential names."""
        found = self._known.get(hash(credential))
        if found is None:
            if len(self._known) >= self._room:
                self._known.clear()
            found = self._known[hash(credential)] = user_hash(credential, self._salt)
        return found


def sampled(exchange_id: str, share: int) -> bool:
    """Tell whether an id's hash (64 bits of BLAKE2b) lies below `share`."""
    digest = hashlib.blake2b(exchange_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share


class MirrorWriter(threading.Thread):
    """The thread that assembles and publishes. `open_bus` is called in it; `stop` asks for a last flush."""

    def __init__(
        self,
        mirror: Mirror,
        board: Scoreboard,
        assemble: Assembler,
        open_bus: Callable[[], Bus],
        flush_s: float,
    ) -> None:
        super().__init__(name="mirror-writer", daemon=True)
        self._mirror = mirror
        self._board = board
        self._assemble = assemble
        self._open_bus = open_bus
        self._flush_s = flush_s
        self._stopping = threading.Event()
        self._give_up_at = float("inf")
        self._bus: Bus | None = None
        # Sees every assembled exchange, in this thread; neither waits nor raises.
        self.observe: Callable[[Capture, Exchange], None] | None = None
        # Assembled and not yet published, the bytes of the budget they hold, and when they are to be published.
        self._batch: list[Exchange] = []
        self._held = 0
        self._due = 0.0

    def run(self) -> None:
        """Write until stopped, then write what is left."""
        last = busy = False
        while not last:
            last = self._stopping.wait(self._pause(busy=busy))
            busy = self._take()
            if last or time.monotonic() >= self._due:
                self._publish_batch()
        if self._bus is not None:
            self._bus.close()

    @property
    def waiting(self) -> int:
        """Exchanges that are not on the bus yet."""
        return len(self._mirror.queue) + len(self._batch)

    def _pause(self, *, busy: bool) -> float:
        """Return how long to rest: short while exchanges come, because what has piled up would hold the serving thread."""
        if busy:
            return min(LOOK_S, self._flush_s)
        return max(0.0, self._due - time.monotonic()) if self._batch else self._flush_s

    def reconfigure(self, assemble: Assembler, flush_s: float) -> None:
        """Go on with other rules, what waits included."""
        self._assemble = assemble
        self._flush_s = flush_s

    def stop(self, timeout_s: float) -> bool:
        """Flush and end; False when the bus hung beyond the time, then the rest is settled as a crash."""
        self._give_up_at = time.monotonic() + timeout_s
        self._stopping.set()
        self.join(timeout_s + 1.0)
        return not self.is_alive()

    def _take(self) -> bool:
        """Assemble what waits, publish full batches, and tell whether there was anything."""
        queue = self._mirror.queue
        if not queue:
            return False
        if not self._batch:
            self._due = time.monotonic() + self._flush_s
        while queue:
            capture = queue.popleft()
            self._held += capture.held
            exchange = self._assembled(capture)
            if exchange is not None:
                self._batch.append(exchange)
            if len(self._batch) >= BATCH:
                self._publish_batch()
        return True

    def _publish_batch(self) -> None:
        if self._batch:
            self._publish(self._batch)
            self._batch = []
        self._mirror.budget.freed += self._held
        self._held = 0

    def _assembled(self, capture: Capture) -> Exchange | None:
        slots = self._board.slots
        try:
            exchange = self._assemble(capture)
        except Exception:  # the law of this file: count, log, go on
            log.exception("exchange cannot be assembled", exchange=capture.id)
            slots[_DROPPED["internal"]] += 1
            return None
        if not exchange.complete:
            slots[_PARTIAL.get(exchange.error or "", _PARTIAL_UPSTREAM)] += 1
        if exchange.error in MALFORMED:
            self._board.add("malformed")
        if self.observe is not None:
            self.observe(capture, exchange)
        return exchange

    def _publish(self, exchanges: list[Exchange]) -> None:
        pause = FIRST_PAUSE_S
        while True:
            try:
                if self._bus is None:
                    self._bus = self._open_bus()
                self._bus.publish(self._board.producer, exchanges, self._mirror.clock.now())
            except BusError as error:
                if self._gave_up(exchanges, error):
                    return
                self._rest(pause, error)
                pause = min(pause * 2.0, LONGEST_PAUSE_S)
            except (ValueError, TypeError, OverflowError):
                # Something in the batch cannot be encoded, and never will.
                log.exception(
                    "batch cannot be written",
                    n=len(exchanges),
                    exchange=exchanges[0].id,
                    last=exchanges[-1].id,
                )
                self._board.slots[_DROPPED["internal"]] += len(exchanges)
                return
            else:
                self._board.slots[_MIRRORED] += len(exchanges)
                return

    def _gave_up(self, exchanges: list[Exchange], error: BusError) -> bool:
        if time.monotonic() < self._give_up_at - FIRST_PAUSE_S:
            return False
        first, last = exchanges[0].id, exchanges[-1].id
        log.error(
            "mirror gives up on exchanges at shutdown",
            n=len(exchanges),
            exchange=first,
            last=last,
            reason=str(error),
        )
        self._board.slots[_DROPPED["bus_error"]] += len(exchanges)
        return True

    def _rest(self, pause_s: float, error: BusError) -> None:
        log.warning("bus is away, exchanges wait", reason=str(error), pause_s=pause_s)
        self._board.add("bus_retries")
        if self._bus is not None:
            self._bus.close()
            self._bus = None
        # Once stopping, the event would end every pause at once.
        if self._stopping.is_set():
            time.sleep(FIRST_PAUSE_S)
        else:
            self._stopping.wait(pause_s)
