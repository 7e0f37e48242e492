"""The paths under `/-/`: what the proxy says about itself, collected when asked.

Law: nothing here is told anything; it reads scoreboards, verdicts and configuration. Readiness means that requests
are accepted, and depends on nothing else. Secrets never appear: of an upstream, its URL without user information.
With `admin.token` everything but the probes needs it, on the clients' listener as well. Without one that listener says
nothing that users wrote (verdicts quote prompts), who labels, or where upstreams are: clients are no operators.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from monitor.contract import Verdict, without_words
from monitor.contract.config import Config, Secret
from proxy.faults import error_body, fault_answer
from proxy.scoreboard import Counters, read_scoreboards
from proxy.verdicts import VerdictBoard


class Surroundings(msgspec.Struct, frozen=True):
    """What the status is collected from. `accepting` tells whether requests are taken now.

    `in_full`: whether whoever reads it may see users' words, labellers' names and upstreams' addresses.
    """

    config: Config
    version: str
    directory: Path
    verdicts: VerdictBoard
    accepting: Callable[[], bool]
    now: Callable[[], float]
    in_full: bool = True

    def told(self) -> list[Verdict]:
        """Return the verdicts, as far as the reader may see them."""
        verdicts = self.verdicts.current(self.now())
        return verdicts if self.in_full else [without_words(verdict) for verdict in verdicts]


def status_document(view: Surroundings) -> dict[str, Any]:
    """Collect `/-/status`."""
    config = view.config
    total, workers, _ = read_scoreboards(view.directory)
    return {
        "version": view.version,
        "accepting": view.accepting(),
        "workers": {"configured": config.proxy.workers, "alive": workers},
        "upstreams": [
            {
                "route": route.name,
                "match": route.match,
                "variant": route.variant.name,
                "upstream": shown_url(route.variant.upstream or config.proxy.upstream)
                if view.in_full
                else "",
                "model": route.variant.model,
                "provider": route.variant.provider,
            }
            for route in config.routes
        ],
        "requests": {
            "received": total["received"],
            "in_flight": total["received"] - total["ended"],
            "by_status": total.by_status,
            "faults": _nonzero(total.under("fault")),
            "clients_left": total.under("left"),
        },
        "mirror": mirror_document(total, config),
        "verdicts": view.told(),
    }


def mirror_document(total: Counters, config: Config) -> dict[str, Any]:
    """Collect the mirror's part: received = mirrored + the sum of dropped + pending."""
    return {
        "enabled": config.mirror.enabled,
        "received": total["received"],
        "mirrored": total["mirrored"],
        "dropped": total.under("dropped"),
        "pending": total.pending,
        "partial": total.partial,
        "malformed": total["malformed"],
        "bus_retries": total["bus_retries"],
        "queue": {
            "exchanges": total["queue_exchanges"],
            "bytes": total["queue_bytes"],
            "limit_bytes": config.mirror.queue_bytes,
        },
    }


def _nonzero(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}


def shown_url(url: str) -> str:
    """Return a URL without user information."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


# Probes carry no token, and a readiness that needs one is none.
_OPEN = frozenset({"/-/livez", "/-/readyz"})


class TokenGuard:
    """An application that needs `Authorization: Bearer <admin.token>`, where one is configured."""

    def __init__(self, app: ASGIApp, token: Secret | None) -> None:
        self._app = app
        self._expected = None if token is None else f"Bearer {token.reveal()}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what carries the token; compared in constant time."""
        given = Headers(scope=scope).get("authorization", "").encode("latin-1")
        is_open = self._expected is None or scope["path"] in _OPEN
        if is_open or hmac.compare_digest(given, self._expected or b""):
            await self._app(scope, receive, send)
            return
        body = error_body("This needs admin.token.", "invalid_request_error", "token_needed")
        headers = {"www-authenticate": "Bearer"}
        await Response(body, 401, headers, "application/json")(scope, receive, send)


def own_routes(view: Surroundings) -> list[Route]:
    """List the routes under `/-/`."""

    async def livez(_: Request) -> Response:
        return Response("ok\n", media_type="text/plain")

    async def readyz(_: Request) -> Response:
        ready = view.accepting()
        return Response(
            "ok\n" if ready else "draining\n", status_code=200 if ready else 503, media_type="text/plain"
        )

    async def status(_: Request) -> Response:
        return _json(status_document(view))

    async def drift(_: Request) -> Response:
        return _json({"verdicts": view.told()})

    async def drift_of(request: Request) -> Response:
        name = request.path_params["route"]
        if name not in {route.name for route in view.config.routes}:
            body = error_body(f"There is no route {name!r}.", "invalid_request_error", "not_found")
            return Response(body, status_code=404, media_type="application/json")
        verdicts = [verdict for verdict in view.told() if verdict.route == name]
        return _json({"route": name, "verdicts": verdicts})

    return [
        Route("/-/livez", livez),
        Route("/-/readyz", readyz),
        Route("/-/status", status),
        Route("/-/drift", drift),
        Route("/-/drift/{route}", drift_of),
    ]


def own_app(routes: list[Route], token: Secret | None = None) -> ASGIApp:
    """Make the application that answers our own paths; whatever else is asked of it is 404 or 405."""
    return TokenGuard(
        Starlette(routes=routes, exception_handlers={404: _not_found, 405: _not_allowed}), token
    )


def _json(document: object) -> Response:
    return Response(msgspec.json.encode(document), media_type="application/json")


async def _not_found(_: Request, __: Exception) -> Response:
    answer = fault_answer("not_found")
    return Response(answer.body, answer.status, media_type="application/json")


async def _not_allowed(_: Request, error: Exception) -> Response:
    body = error_body("This path answers GET only.", "invalid_request_error", "method_not_allowed")
    headers = getattr(error, "headers", None)
    return Response(body, 405, headers=headers, media_type="application/json")
