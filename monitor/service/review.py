"""The review queue over HTTP: what waits, one item of it, and a person's judgement.

Law of this file: unlike verdicts, items hold whole texts of users, so reading them needs the configured token as
judging them does. An outcome is one of `OUTCOMES`, given by somebody with a name; who, when and why is kept with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from monitor.contract import Feedback
from monitor.store import Store

_MOST = 1000
_STATES = {"open": "open", "resolved": "resolved", "all": ""}


class Judgement(msgspec.Struct, forbid_unknown_fields=True):
    """What a person says of an item."""

    outcome: Literal["ok", "bad", "unsure"]
    by: str
    note: str = ""
    # Whether it also counts as a label, as feedback would: off, because reviewed exchanges are not drawn evenly.
    feedback: bool = False


class ReviewDesk:
    """The queue, for any thread; the store is its own."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()

    def queue(self, state: str, route: str, limit: int) -> dict[str, Any]:
        """Return items and, of every arm with judged exchanges, the estimated share of bad ones."""
        with self._lock:
            items = self._store.reviews.listed(state=state, route=route, limit=limit)
            quality = [
                {"route": name, "arm": arm, **found._asdict()}
                for name, arm in self._store.reviews.arms()
                if route in ("", name) and (found := self._store.reviews.quality(name, arm)) is not None
            ]
        return {"items": items, "quality": quality}

    def item(self, item_id: str) -> dict[str, Any]:
        """Return one item. Raises KeyError."""
        with self._lock:
            return {"item": self._store.reviews.get(item_id)}

    def resolve(self, item_id: str, said: Judgement) -> dict[str, Any]:
        """Keep a judgement. Raises KeyError."""
        with self._lock:
            now, resolve = self._clock(), self._store.reviews.resolve
            item = resolve(item_id, said.outcome, note=said.note, by=said.by, now=now)
            if said.feedback and item.exchange is not None and said.outcome != "unsure":
                label = Feedback(
                    exchange=item.exchange, label=said.outcome, annotator=said.by, time=now, route=item.route
                )
                self._store.feedback.add([label], now)
            return {"item": item}


Authorised = Callable[[Request], bool]
Answer = Callable[[Any, int], Response]


@dataclass(frozen=True)
class ReviewPages:
    """The endpoints; `answer` writes a document, `authorised` knows the token."""

    desk: ReviewDesk
    authorised: Authorised
    answer: Answer

    def routes(self) -> list[Route]:
        """Return the routes to serve."""
        return [
            Route("/-/review", self.queue, methods=["GET"]),
            Route("/-/review/{id}", self.item, methods=["GET"]),
            Route("/-/review/{id}", self.resolve, methods=["POST"]),
        ]

    async def queue(self, request: Request) -> Response:
        """List items: `state` (open, resolved, all), `route`, `limit`."""
        if not self.authorised(request):
            return self._refused()
        asked = request.query_params
        state, limit = asked.get("state", "open"), asked.get("limit", "50")
        if state not in _STATES or not limit.isdecimal() or not 1 <= int(limit) <= _MOST:
            return self._error(400, f"expected state {', '.join(_STATES)} and limit 1 to {_MOST}")
        route = asked.get("route", "")
        return self.answer(await run_in_threadpool(self.desk.queue, _STATES[state], route, int(limit)), 200)

    async def item(self, request: Request) -> Response:
        """Show one item."""
        if not self.authorised(request):
            return self._refused()
        return await self._of_item(self.desk.item, request.path_params["id"])

    async def resolve(self, request: Request) -> Response:
        """Judge one item."""
        if not self.authorised(request):
            return self._refused()
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return self._error(415, "expected a body of type application/json")
        try:
            said = msgspec.json.decode(await request.body(), type=Judgement)
        except msgspec.DecodeError as error:
            return self._error(400, str(error))
        if not said.by.strip():
            return self._error(400, "by: expected who judges")
        return await self._of_item(self.desk.resolve, request.path_params["id"], said)

    async def _of_item(self, act: Callable[..., dict[str, Any]], item_id: str, *more: Any) -> Response:
        try:
            return self.answer(await run_in_threadpool(act, item_id, *more), 200)
        except KeyError:
            return self._error(404, f"no item {item_id!r}")

    def _refused(self) -> Response:
        return self._error(401, "this needs the monitor's token: Authorization: Bearer …")

    def _error(self, status: int, message: str) -> Response:
        return self.answer({"error": {"message": message}}, status)
