"""How a client's connection ends: refusals of what is no exchange, and an end that cuts no last words off.

Law: a refusal comes behind the answers that are owed already, says its code in OpenAI's shape, and is the last answer. A
request is answered once: one that turns out broken behind its answer only ends the connection. A client that may still
be sending is listened to for a moment, because closing with unread bytes resets what it has not read yet. A head, and
a connection's first word, are waited for only so long; one timer a connection sees to it, and no request touches it.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from proxy.faults import fault_answer
from proxy.http_config import EdgeConfig
from proxy.http_cycle import Cycle

# How long a connection may be idle after an answer: longer than what clients keep idle connections for, so that they
# close first (nginx's default).
KEEP_ALIVE_S = 75
# How long a client may go on sending after its last answer.
LINGER_S = 2.0


class EndingProtocol(HttpToolsProtocol):
    """uvicorn's protocol, what of it ends connections."""

    config: EdgeConfig
    cycle: Cycle
    # The cycle whose response is being made, and whether the latest one's body is still to come.
    _running: Cycle | None = None
    _in_body = False
    # Whether no part of a head has come that is not whole.
    _head_done = True
    # Since when a request, or the rest of its head, is awaited; infinite while a body comes.
    _awaited_since = math.inf
    _timer: asyncio.TimerHandle | None = None
    # The refusal that is owed behind the running answers.
    _owed = ""
    # Nothing is parsed any more; only the client's end is awaited.
    _refused = _lingering = False
    _waiting_for_end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a client in, if there is room."""
        super().connection_made(transport)
        self._awaited_since = self.loop.time()
        self._look_again(math.inf)
        room = self.config.room
        if room is None:
            return
        numbered = transport.get_extra_info("socket").fileno()
        if len(self.connections) > room.clients or numbered >= room.descriptors:
            # It serves nobody, so it is none of those that there is room for.
            self.connections.discard(self)
            self._turn_away(in_words=numbered < room.descriptors)

    def _turn_away(self, *, in_words: bool) -> None:
        if in_words:
            self._refuse("too_many_connections")
        else:
            self._refused = True
            self.config.count("fault.too_many_connections")
            self.transport.close()

    def _look_again(self, left: float) -> None:
        # No later than the shortest of what may begin meanwhile.
        left = min(left, KEEP_ALIVE_S, self.config.limits.head_s)
        self._timer = self.loop.call_later(left, self._look)

    def _look(self) -> None:
        """End a connection on which nothing, or only a part of a head, has come for too long."""
        if self._refused or self._lingering or self.transport.is_closing():
            return
        if self._running is not None and not self._running.response_complete:
            self._look_again(math.inf)
            return
        now = self.loop.time()
        # Parts of a body that was answered before its end have come since the last look.
        self._awaited_since = min(self._awaited_since, now)
        idle = self._head_done and self.cycle is not None
        left = self._awaited_since + (KEEP_ALIVE_S if idle else self.config.limits.head_s) - now
        if left > 0.001:
            self._look_again(left)
        elif not self._head_done:
            self._refuse("head_timeout")
        else:
            self.config.count("closed.idle" if idle else "closed.silent")
            self.transport.close()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _refuse(self, code: str) -> None:
        """Refuse what has arrived, behind what is owed already."""
        if self._refused:
            return
        self._refused = True
        self.config.count(f"fault.{code}")
        broken = self.cycle if self._in_body else None
        self.pipeline = type(self.pipeline)(pair for pair in self.pipeline if pair[0] is not broken)
        running = self._running
        busy = running is not None and not running.response_complete
        if busy and running is not broken:
            self._owed = code
            return
        if broken is None:
            self._answer(code)
        elif broken.response_started:
            self.transport.close()
        else:
            broken.disconnected = True
            broken.message_event.set()
            self._leave()
            self._answer(code)

    def _answer(self, code: str) -> None:
        answer = fault_answer(code)
        rows = [STATUS_LINE[answer.status][:-2], *(name + b": " + value for name, value in answer.headers)]
        self.transport.write(b"\r\n".join([*rows, b"", answer.body]))
        self.hang_up()

    def _leave(self) -> None:
        """Tell whoever serves the running request that its client is gone."""
        raise NotImplementedError

    def hang_up(self) -> None:
        """End the connection once the client has read its last answer, or soon."""
        if self._lingering or self.transport.is_closing():
            return
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        self._lingering = True
        self.flow.resume_reading()
        self.transport.write_eof()
        self._waiting_for_end = self.loop.call_later(LINGER_S, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        super().connection_lost(exc)
        self._stop_timers()

    def _stop_timers(self) -> None:
        for timer in (self._timer, self._waiting_for_end):
            if timer is not None:
                timer.cancel()
