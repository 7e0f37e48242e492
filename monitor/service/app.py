"""The monitor over HTTP: status, verdicts, baselines, metrics.

Law of this file: reading numbers is open (the address is loopback unless a token is configured); whatever changes
state needs the configured token as `Authorization: Bearer …`, compared in constant time, and a JSON body, which a web
page of somebody else cannot send here without the browser asking first. What quotes users or names labellers needs the
token too: verdicts are told without it to those who have none. Errors are `{"error": {"message": …}}`.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from monitor.bus import BusError
from monitor.contract import Verdict, without_words
from monitor.contract.config import Secret
from monitor.scorer import ScorerUnavailable
from monitor.service.feedback import FeedbackDesk, FeedbackPages
from monitor.service.health import Health
from monitor.service.metrics import Metrics
from monitor.service.review import ReviewDesk, ReviewPages
from monitor.service.status import StatusReader
from monitor.store import Listed, StoreError

# The loop turns several times a second; one scoring request or the making of a baseline may take it this long.
_STALLED_S = 120.0


class UseBaseline(msgspec.Struct, forbid_unknown_fields=True):
    """Choose what a route is compared with."""

    route: str
    id: str


class CreateBaseline(msgspec.Struct, forbid_unknown_fields=True):
    """Make a baseline from the exchanges of [since, until) epoch seconds that the bus still holds."""

    route: str
    since: float
    until: float


Create = Callable[[CreateBaseline], Listed]


@dataclass(frozen=True)
class _Endpoints:
    reader: StatusReader
    health: Health
    create: Create
    token: Secret | None
    clock: Callable[[], float]
    registry: CollectorRegistry

    async def livez(self, _: Request) -> Response:
        turned = self.health.turned_at
        alive = turned is None or self.clock() - turned < _STALLED_S
        return _json({"alive": alive, "turned_at": turned}, 200 if alive else 503)

    async def readyz(self, _: Request) -> Response:
        ready = self.health.evaluated_at is not None
        return _json({"ready": ready, "trouble": self.health.trouble}, 200 if ready else 503)

    async def status(self, request: Request) -> Response:
        status = await run_in_threadpool(self.reader.status)
        return _json(msgspec.structs.replace(status, verdicts=self._told(request, status.verdicts)))

    async def drift(self, request: Request) -> Response:
        verdicts = await run_in_threadpool(self.reader.verdicts)
        return _json({"verdicts": self._told(request, verdicts)})

    async def drift_of_route(self, request: Request) -> Response:
        route = request.path_params["route"]
        verdicts = await run_in_threadpool(self.reader.verdicts, route)
        if not verdicts:
            return _error(404, f"no verdict for route {route!r}")
        history = await run_in_threadpool(self.reader.history, route)
        told = {"verdicts": self._told(request, verdicts), "history": self._told(request, history)}
        return _json({"route": route, **told})

    def _told(self, request: Request, verdicts: Sequence[Verdict]) -> Sequence[Verdict]:
        """Return verdicts as far as whoever asks may see them."""
        return verdicts if _authorised(request, self.token) else [without_words(each) for each in verdicts]

    async def baselines(self, _: Request) -> Response:
        rows = await run_in_threadpool(self.reader.baselines)
        return _json({"baselines": [row._asdict() for row in rows]})

    async def create_baseline(self, request: Request) -> Response:
        wanted = await self._wanted(request, CreateBaseline)
        if isinstance(wanted, Response):
            return wanted
        try:
            made = await run_in_threadpool(self.create, wanted)
        except ValueError as error:  # BaselineError included: what was asked for cannot be made
            return _error(422, str(error))
        return _json({"baseline": made._asdict()}, 201)

    async def use_baseline(self, request: Request) -> Response:
        wanted = await self._wanted(request, UseBaseline)
        if isinstance(wanted, Response):
            return wanted
        try:
            await run_in_threadpool(self.reader.use_baseline, wanted.route, wanted.id)
        except KeyError:
            return _error(404, f"route {wanted.route!r} has no baseline {wanted.id!r}")
        return _json({"route": wanted.route, "baseline": wanted.id})

    async def metrics(self, _: Request) -> Response:
        body = await run_in_threadpool(generate_latest, self.registry)
        return Response(body, media_type=CONTENT_TYPE_LATEST)

    async def _wanted(self, request: Request, kind: type[Wanted]) -> Wanted | Response:
        """Return what an authorised request asks for, or the answer that refuses it."""
        if not _authorised(request, self.token):
            return _error(401, "this needs the monitor's token: Authorization: Bearer …")
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return _error(415, "expected a body of type application/json")
        try:
            return msgspec.json.decode(await request.body(), type=kind)
        except msgspec.DecodeError as error:
            return _error(400, str(error))


Wanted = TypeVar("Wanted", UseBaseline, CreateBaseline)


def build_app(
    reader: StatusReader,
    health: Health,
    create: Create,
    *,
    token: Secret | None,
    clock: Callable[[], float],
    desk: ReviewDesk | None = None,
    feedback: FeedbackDesk | None = None,
) -> Starlette:
    """Return the application; `create` makes a baseline and is called on a thread of its own.

    Without a `desk` there is no review queue, without `feedback` none is taken.
    """
    registry = CollectorRegistry()
    registry.register(Metrics(reader))
    ends = _Endpoints(reader, health, create, token, clock, registry)
    routes = [
        Route("/-/livez", ends.livez),
        Route("/-/readyz", ends.readyz),
        Route("/-/status", ends.status),
        Route("/-/drift", ends.drift),
        Route("/-/drift/{route:path}", ends.drift_of_route),
        Route("/-/baselines", ends.baselines, methods=["GET"]),
        Route("/-/baselines", ends.create_baseline, methods=["POST"]),
        Route("/-/baselines/use", ends.use_baseline, methods=["POST"]),
        Route("/metrics", ends.metrics),
    ]
    if desk is not None:
        routes += ReviewPages(desk, lambda request: _authorised(request, token), _json).routes()
    if feedback is not None:
        routes += FeedbackPages(feedback, lambda request: _authorised(request, token), _json).routes()
    handlers = dict.fromkeys((StoreError, BusError, ScorerUnavailable), _unavailable)
    return Starlette(routes=routes, exception_handlers={**handlers, HTTPException: _refused})


def _authorised(request: Request, token: Secret | None) -> bool:
    given = request.headers.get("authorization", "")
    return token is None or hmac.compare_digest(given.encode(), f"Bearer {token.reveal()}".encode())


def _json(document: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(document), status, media_type="application/json")


def _error(status: int, message: str) -> Response:
    return _json({"error": {"message": message}}, status)


async def _unavailable(_: Request, error: Exception) -> Response:
    return _error(503, str(error))


async def _refused(_: Request, error: Exception) -> Response:
    return (
        _error(error.status_code, error.detail) if isinstance(error, HTTPException) else _error(500, "fault")
    )
