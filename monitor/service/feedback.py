"""Feedback over HTTP: what people say of exchanges, and what that says of the people.

Law of this file: a body is one object, a list of them, or JSON Lines; it is taken whole or not at all, and what is
wrong with it is said with the number of its line or element. Giving feedback needs the token, as everything that changes
state does; reading the verdicts on labels is open, as that of verdicts is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from monitor.contract import Feedback, Labels, read_feedback
from monitor.store import Store

_LONGEST_BODY = 8 * 1024 * 1024
_LINES = frozenset(("application/x-ndjson", "application/jsonl", "application/x-jsonlines"))


class Restart(msgspec.Struct, forbid_unknown_fields=True):
    """Whose labels are taken as they are now for what is usual."""

    route: str


class Unwelcome(ValueError):
    """A body that is no feedback; the message is one line and names the place."""


class FeedbackDesk:
    """Takes feedback and shows the verdicts on labels, for any thread; the store is its own."""

    def __init__(self, store: Store, routes: Iterable[str], clock: Callable[[], float]) -> None:
        self._store = store
        self._routes = tuple(routes)
        self._clock = clock
        self._lock = threading.Lock()

    def take(self, feedback: list[Feedback]) -> dict[str, int]:
        """Keep feedback; return what became of it. Raises Unwelcome for a route that is not configured."""
        for number, given in enumerate(feedback, start=1):
            check_route(given, self._routes, f"{number}: " if len(feedback) > 1 else "")
        only = self._routes[0] if len(self._routes) == 1 else ""
        with self._lock:
            return self._store.feedback.add(feedback, self._clock(), only)._asdict()

    def restart(self, route: str) -> dict[str, str]:
        """Take a route's labels as they are now for what is usual. Raises KeyError."""
        with self._lock:
            self._store.labels.restart(route)
        return {"route": route}

    def labels(self) -> dict[str, Any]:
        """Return route -> verdict and its changes, the newest first."""
        with self._lock:
            verdicts = self._store.labels.verdicts()
            return {
                "labels": {
                    route: {"verdict": verdict, "history": _history(self._store.labels.history(route))}
                    for route, verdict in verdicts.items()
                },
                "unmatched": self._store.feedback.parked(),
            }


def check_route(given: Feedback, routes: tuple[str, ...], where: str = "") -> None:
    """Refuse feedback of a route that is not configured. Raises Unwelcome."""
    if given.route and given.route not in routes:
        raise Unwelcome(f"{where}route: got {given.route!r}; expected one of: {', '.join(routes)}")


def _history(rows: list[tuple[float, Labels]]) -> list[dict[str, Any]]:
    return [
        {
            "time": at,
            "tier": verdict.tier,
            "drifted": verdict.drifted,
            "cause": verdict.cause,
            "headline": verdict.headline,
        }
        for at, verdict in rows
    ]


def read_body(body: bytes, *, lines: bool) -> list[Feedback]:
    """Read an object, a list of objects, or with `lines` one object a line. Raises Unwelcome."""
    if not lines:
        values = _decoded(body, "")
        if isinstance(values, list):
            return [_read(value, f"element {number}: ") for number, value in enumerate(values, start=1)]
        return [_read(values, "")]
    numbered = enumerate(body.splitlines(), start=1)
    return [
        _read(_decoded(line, f"line {number}: "), f"line {number}: ")
        for number, line in numbered
        if line.strip()
    ]


def _decoded(body: bytes, where: str) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unwelcome(f"{where}not JSON: {error}") from None


def _read(values: Any, where: str) -> Feedback:
    if not isinstance(values, dict):
        raise Unwelcome(f"{where}expected an object with `exchange` and `label`")
    try:
        return read_feedback(values)
    except ValueError as error:
        raise Unwelcome(f"{where}{error}") from None


@dataclass(frozen=True)
class FeedbackPages:
    """The endpoints; `answer` writes a document, `authorised` knows the token."""

    desk: FeedbackDesk
    authorised: Callable[[Request], bool]
    answer: Callable[[Any, int], Response]

    def routes(self) -> list[Route]:
        """Return the routes to serve."""
        return [
            Route("/-/feedback", self.take, methods=["POST"]),
            Route("/-/labels", self.labels, methods=["GET"]),
            Route("/-/labels/restart", self.restart, methods=["POST"]),
        ]

    async def take(self, request: Request) -> Response:
        """Take feedback: 202 and how many were accepted, repeated, and of no exchange known yet."""
        if not self.authorised(request):
            return self._refused()
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and kind not in _LINES:
            return self._error(415, "expected a body of type application/json or application/x-ndjson")
        body = await _body(request)
        if body is None:
            return self._error(413, f"expected at most {_LONGEST_BODY} bytes; send more in several requests")
        try:
            feedback = await run_in_threadpool(read_body, body, lines=kind in _LINES)
            return self.answer(await run_in_threadpool(self.desk.take, feedback), 202)
        except Unwelcome as error:
            return self._error(400, str(error))

    async def labels(self, request: Request) -> Response:
        """Show the verdicts on labels, which name people."""
        if not self.authorised(request):
            return self._refused()
        return self.answer(await run_in_threadpool(self.desk.labels), 200)

    async def restart(self, request: Request) -> Response:
        """Begin the evidence about a route's labels anew, once a change of them was meant."""
        if not self.authorised(request):
            return self._refused()
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return self._error(415, "expected a body of type application/json")
        try:
            wanted = msgspec.json.decode(await request.body(), type=Restart)
            return self.answer(await run_in_threadpool(self.desk.restart, wanted.route), 200)
        except msgspec.DecodeError as error:
            return self._error(400, str(error))
        except KeyError:
            return self._error(404, "no labels of such a route")

    def _refused(self) -> Response:
        return self._error(401, "this needs the monitor's token: Authorization: Bearer …")

    def _error(self, status: int, message: str) -> Response:
        return self.answer({"error": {"message": message}}, status)


async def _body(request: Request) -> bytes | None:
    """Read a body; None where it is too long to be taken at once."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > _LONGEST_BODY:
            return None
        parts.append(part)
    return b"".join(parts)
