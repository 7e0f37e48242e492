"""The transport for providers that do not speak OpenAI: litellm translates, we keep OpenAI's shape.

Law: chat completions only, streaming or not; anything else is a clear 501. Only OpenAI's own parameters are handed
on, because litellm's others could point it to another address or key. The provider's errors come back with their
status in OpenAI's shape. litellm takes seconds and 200 MB to import, so it is imported in a thread when the worker
starts, and only where a route asks for it.
"""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
import structlog

from monitor.contract.config import Timeouts
from proxy.endpoints.shape import UNREADABLE
from proxy.faults import UpstreamFault, error_body
from proxy.headers import value_of
from proxy.transport import Outgoing, PlainReply, Reply

log = structlog.get_logger(__name__)

# OpenAI's chat completions parameters (API reference, November 2025).
PARAMETERS = frozenset(
    {
        "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs",
        "max_completion_tokens", "max_tokens", "messages", "modalities", "model", "n", "parallel_tool_calls",
        "prediction", "presence_penalty", "prompt_cache_key", "reasoning_effort", "response_format",
        "safety_identifier", "seed", "service_tier", "stop", "store", "stream", "stream_options", "temperature",
        "thinking", "tool_choice", "tools", "top_logprobs", "top_p", "user", "verbosity", "web_search_options",
    }
)  # fmt: skip
_JSON = [(b"content-type", b"application/json")]
_EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


class Library(NamedTuple):
    """What is used of litellm. All its errors for requests derive from the openai package's `APIError`."""

    acompletion: Callable[..., Awaitable[Any]]
    api_error: type[Exception]
    timeout: type[Exception]


def import_litellm() -> Library:
    """Import litellm so that it stays off the network and quiet. Takes seconds."""
    # Without it, importing litellm downloads a price list; it can only be told through the environment.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    litellm: Any = importlib.import_module("litellm")
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    return Library(litellm.acompletion, importlib.import_module("openai").APIError, litellm.Timeout)


class LitellmTransport:
    """Translates chat completions; belongs to the loop it was made in."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeout_s = timeouts.read_s
        self._library = asyncio.create_task(asyncio.to_thread(import_litellm), name="import-litellm")

    async def open(self, request: Outgoing) -> Reply:
        """Ask the provider and return the reply's head. Raises UpstreamFault."""
        path = request.target.partition(b"?")[0]
        if request.method != "POST" or not path.endswith(b"/chat/completions"):
            raise UpstreamFault("endpoint_unsupported")
        try:
            asked = msgspec.json.decode(await _whole(request))
        except UNREADABLE:
            return _refusal(400, "The body is not JSON.", "invalid_request_error", "invalid_json")
        if not isinstance(asked, dict) or not isinstance(asked.get("model"), str):
            return _refusal(400, "You must provide a model parameter.", "invalid_request_error", "no_model")
        return await self._ask(request, {key: asked[key] for key in asked.keys() & PARAMETERS})

    async def _ask(self, request: Outgoing, parameters: dict[str, Any]) -> Reply:
        library = await self._loaded()
        try:
            answer = await library.acompletion(
                **parameters,
                api_key=_bearer(request) or None,
                api_base=request.upstream.origin + request.upstream.base.decode() or None,
                timeout=self._timeout_s,
                num_retries=0,
                max_retries=0,
            )
        except library.timeout as error:
            raise UpstreamFault("upstream_timeout", type(error).__name__) from error
        except library.api_error as error:
            return _failed(error)
        if parameters.get("stream") is True:
            return LitellmStream(answer, library.api_error)
        return LitellmReply(200, _JSON, answer.model_dump_json().encode())

    async def _loaded(self) -> Library:
        try:
            return await asyncio.shield(self._library)
        except ImportError as error:
            raise UpstreamFault("provider_import", str(error)) from error

    async def close(self) -> None:
        """Nothing to close: litellm keeps its own clients."""
        self._library.cancel()


async def _whole(request: Outgoing) -> bytes:
    body = request.body
    if body is None or isinstance(body, bytes):
        return body or b""
    return b"".join([part async for part in body])


def _bearer(request: Outgoing) -> str:
    value = value_of(request.headers, b"authorization").decode("latin-1")
    scheme, _, key = value.partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _failed(error: Any) -> LitellmReply:
    """Turn a provider's error into OpenAI's shape, with the provider's status."""
    status = getattr(error, "status_code", None)
    if not isinstance(status, int) or not 400 <= status <= 599:
        raise UpstreamFault("upstream_reset", type(error).__name__) from error
    kind = getattr(error, "type", None) or "provider_error"
    code = getattr(error, "code", None) or type(error).__name__
    return _refusal(status, str(getattr(error, "message", error)), str(kind), str(code))


def _refusal(status: int, message: str, kind: str, code: str) -> LitellmReply:
    return LitellmReply(status, _JSON, error_body(message, kind, code))


class LitellmReply(PlainReply):
    """A whole answer."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status = status
        self.headers = [*headers, (b"content-length", str(len(body)).encode())]
        self._body = body

    async def read(self) -> bytes:
        """Return the body, then nothing."""
        body, self._body = self._body, b""
        return body

    def rest(self) -> bytes:
        """Return nothing: the body was there at once."""
        return b""

    async def close(self) -> None:
        """Nothing to close."""


class LitellmStream(PlainReply):
    """An answer in events."""

    status = 200

    def __init__(self, chunks: Any, api_error: type[Exception]) -> None:
        self.headers = list(_EVENTS)
        self._chunks = chunks
        self._api_error = api_error
        self._events = self._written()

    async def _written(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            yield b"data: " + chunk.model_dump_json(exclude_none=True, exclude_unset=True).encode() + b"\n\n"
        yield b"data: [DONE]\n\n"

    async def read(self) -> bytes:
        """Return the next event. Raises UpstreamFault."""
        try:
            return await anext(self._events, b"")
        except self._api_error as error:
            raise UpstreamFault("upstream_reset", type(error).__name__) from error

    def rest(self) -> bytes:
        """Return nothing: events are given out as they come."""
        return b""

    async def close(self) -> None:
        """End the provider's stream."""
        close = getattr(self._chunks, "aclose", None)
        if close is not None:
            await close()
