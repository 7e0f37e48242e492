"""The request's side of an exchange: its body, its route, and what goes upstream.

Law: the body streams through unless a route must be chosen by it; then it is held back until it is whole, up to
`PEEK_LIMIT`. What is sent is what came, less the headers that end here; only a variant's model and key replace
the client's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from proxy.capture import Capture
from proxy.client import Client, Scope, target_of
from proxy.faults import UpstreamFault
from proxy.headers import WEBSOCKET_ASKED, to_upstream
from proxy.redact import READY, Redactor
from proxy.routing import (
    PEEK_LIMIT,
    Choice,
    Router,
    model_in_query,
    model_of,
    with_model,
    with_model_in_query,
)
from proxy.transport import Body, Outgoing

# Larger bodies are given their variant's model beside the serving thread, not in it.
_LARGE = 16 * 1024
# A client may write anything where a model's name belongs; what the log shows of it is redacted, whatever is mirrored.
_IN_THE_LOG = Redactor(tuple(READY), {})


class RequestSide:
    """One request on its way. `choice` is None until its route is known, `arrived` 0 until what that needs is here."""

    __slots__ = ("_capture", "_client", "_router", "_scope", "arrived", "choice")

    def __init__(self, router: Router, scope: Scope, client: Client, capture: Capture | None) -> None:
        self._router = router
        self._scope = scope
        self._client = client
        self._capture = capture
        self.arrived = 0.0
        self.choice: Choice | None = None
        if router.only is not None:
            self._note(router.only)

    async def prepare(self, clock: Callable[[], float]) -> tuple[Outgoing, Choice]:
        """Choose the variant and return what to ask of it. Raises UpstreamFault and ClientLeft."""
        scope = self._scope
        body, choice = await self._body(clock)
        headers = to_upstream(scope["headers"])
        if choice.model and isinstance(body, bytes):
            body = await _renamed(body, choice.model)
            headers = [pair for pair in headers if pair[0] != b"content-length"]
        if choice.authorization is not None:
            headers = [pair for pair in headers if pair[0] != b"authorization"]
            headers.append((b"authorization", choice.authorization))
        asked = target_of(scope)
        if self._client.wants_tunnel:
            headers.extend(WEBSOCKET_ASKED)
            asked = with_model_in_query(asked, choice.model) if choice.model else asked
        target = choice.upstream.target(asked)
        return Outgoing(scope["method"], choice.upstream, target, headers, body), choice

    async def _body(self, clock: Callable[[], float]) -> tuple[Body | None, Choice]:
        """Read as much of the body as routing needs, and choose."""
        first, more = await self._client.first_part()
        only = self._router.only
        if only is None and more:
            first, more = await self._whole(first), False
        self.arrived = clock()
        choice = only or self._choose(first)
        if more:
            return self._streamed(first), choice
        if first and self._capture is not None:
            self._capture.keep_request(first)
        return first or None, choice

    async def _whole(self, first: bytes) -> bytes:
        parts, size = [], 0
        async for part in self._client.parts(first):
            parts.append(part)
            size += len(part)
            if size > PEEK_LIMIT:
                raise UpstreamFault("body_too_large", f"limit {PEEK_LIMIT} bytes")
        return b"".join(parts)

    def _choose(self, body: bytes) -> Choice:
        if self._client.wants_tunnel:
            model = model_in_query(target_of(self._scope))
        else:
            model = model_of(body) if body else ""
        choice = self._router.choose(model)
        if choice is None:
            raise UpstreamFault("model_not_routed", _IN_THE_LOG(model[:400])[:80])
        self._note(choice)
        return choice

    def _note(self, choice: Choice) -> None:
        self.choice = choice
        if self._capture is not None:
            self._capture.route, self._capture.arm = choice.route, choice.arm
            self._capture.variant = choice.variant

    async def _streamed(self, first: bytes) -> AsyncIterator[bytes]:
        capture = self._capture
        async for part in self._client.parts(first):
            if capture is not None:
                capture.keep_request(part)
            yield part


async def _renamed(body: bytes, model: str) -> bytes:
    if len(body) > _LARGE:
        return await asyncio.to_thread(with_model, body, model)
    return with_model(body, model)
