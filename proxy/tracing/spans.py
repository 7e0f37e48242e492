"""From a finished exchange to its span: names and values of OpenTelemetry's GenAI semantic conventions.

Law: pure; randomness is an argument. The span is that of a client asking the model, as the proxy is one, and a child of
the caller's span where the request carries a W3C `traceparent`. That header goes upstream as it came: nothing of ours
is put into it, so a span of the upstream is a sibling of this one, not its child. Whatever a client or a model wrote is
redacted and cut before it becomes a value.

Conventions: https://github.com/open-telemetry/semantic-conventions-genai (docs/gen-ai/client-inference.md).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from monitor.contract import Exchange
from proxy.capture import Capture
from proxy.coding import CodingError, decode_body
from proxy.routing import Choice, Router, model_of

Value = str | int | float | bool | tuple[str, ...]

# Longer values are cut, in characters: a name that a client makes up may be anything.
LONGEST = 200
_OPERATIONS = {"completions": "text_completion"}
# litellm's name of a provider -> the conventions'; any other is its own.
PROVIDERS = {
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
# W3C Trace Context, level 1: version, trace id, parent id, flags. A later version may go on behind them.
_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Parent(NamedTuple):
    """The caller's span, and whether it is recorded."""

    trace_id: bytes
    span_id: bytes
    sampled: bool


class Target(NamedTuple):
    """Whom a route asks."""

    provider: str
    # Empty where litellm knows the address.
    address: str
    port: int
    # Sent instead of the client's model; empty: unchanged.
    model: str


class Span(NamedTuple):
    """A span; times in nanoseconds of the epoch."""

    name: str
    trace_id: bytes
    span_id: bytes
    # Empty: the span begins its trace.
    parent_id: bytes
    start: int
    end: int
    attributes: dict[str, Value]
    failed: bool


def read_traceparent(value: bytes) -> Parent | None:
    """Read the header; None where there is none, or one that must be ignored (section 3.2.2)."""
    found = _TRACEPARENT.fullmatch(value.strip())
    if found is None or found[1] == b"ff" or (found[1] == b"00" and found[5]):
        return None
    trace_id, span_id = bytes.fromhex(found[2].decode()), bytes.fromhex(found[3].decode())
    if not any(trace_id) or not any(span_id):
        return None
    return Parent(trace_id, span_id, bool(int(found[4], 16) & 1))


def targets(router: Router) -> dict[str, Target]:
    """Say of each route whom it asks."""
    return {choice.route: _target(choice) for _, choice in router.choices}


def _target(choice: Choice) -> Target:
    parts = urlsplit(choice.upstream.origin)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    provider, model = "openai", choice.model
    if choice.provider == "litellm":
        name, slash, _ = model.partition("/")
        provider = PROVIDERS.get(name, name) if slash else "openai"
    return Target(provider, parts.hostname or "", port, model)


class Describer:
    """Makes spans. `share` of those that begin a trace are kept; a caller's own decision stands."""

    def __init__(
        self,
        known: Mapping[str, Target],
        redact: Callable[[str], str],
        *,
        share: float,
        max_decoded: int,
        chance: random.Random,
    ) -> None:
        self.known = known
        self._redact = redact
        self._share = share
        self._max_decoded = max_decoded
        self._chance = chance

    def __call__(self, capture: Capture, exchange: Exchange) -> Span | None:
        """Describe an exchange; None where its trace is not recorded."""
        parent = read_traceparent(capture.traceparent)
        chosen = parent.sampled if parent else self._chance.random() < self._share
        if not chosen:
            return None
        target = self.known.get(exchange.route)
        operation = _OPERATIONS.get(exchange.endpoint, "chat")
        model = self._asked_model(capture, target)
        start = int(exchange.time * 1e9)
        # What only we could not read (`request_malformed`) is no failure of the call.
        failed = exchange.status >= 400 or (exchange.error is not None and not exchange.complete)
        attributes: dict[str, Value] = {"gen_ai.operation.name": operation}
        attributes |= _of_target(target)
        attributes |= self._of_exchange(exchange, model, failed=failed)
        return Span(
            f"{operation} {model}".rstrip(),
            parent.trace_id if parent else self._new_id(16),
            self._new_id(8),
            parent.span_id if parent else b"",
            start,
            start + int((exchange.latency_s or 0.0) * 1e9),
            attributes,
            failed,
        )

    def _of_exchange(self, exchange: Exchange, model: str, *, failed: bool) -> dict[str, Value]:
        error = exchange.error or str(exchange.status)
        values: dict[str, Value | None] = {
            "gen_ai.request.model": model or None,
            "gen_ai.request.stream": exchange.stream or None,
            "gen_ai.response.model": self._shown(exchange.model) if exchange.response is not None else None,
            "gen_ai.response.finish_reasons": _one(
                exchange.finish_reason and self._shown(exchange.finish_reason)
            ),
            "gen_ai.response.time_to_first_chunk": exchange.ttft_s if exchange.stream else None,
            "gen_ai.usage.input_tokens": exchange.prompt_tokens,
            "gen_ai.usage.output_tokens": exchange.response_tokens,
            "http.response.status_code": exchange.status or None,
            "error.type": self._shown(error) if failed else None,
            "driftgate.exchange.id": exchange.id,
            "driftgate.route": exchange.route,
            "driftgate.arm": exchange.arm,
            "driftgate.variant": exchange.variant,
        }
        return {name: value for name, value in values.items() if value not in (None, "")}

    def _asked_model(self, capture: Capture, target: Target | None) -> str:
        if target is not None and target.model:
            return target.model
        try:
            body = decode_body(b"".join(capture.request), capture.request_coding, self._max_decoded)
        except CodingError:
            return ""
        return self._shown(model_of(body))

    def _shown(self, text: str) -> str:
        # Cut before as well: redacting reads every character.
        return self._redact(text[: 4 * LONGEST])[:LONGEST]

    def _new_id(self, size: int) -> bytes:
        # Zeros are no id (W3C Trace Context, section 3.2.2.3).
        return self._chance.randbytes(size).replace(b"\0", b"\1")


def _of_target(target: Target | None) -> dict[str, Value]:
    if target is None:  # its route was taken out of the configuration meanwhile
        return {"gen_ai.provider.name": "openai"}
    address: dict[str, Value] = {"server.address": target.address, "server.port": target.port}
    return {"gen_ai.provider.name": target.provider} | (address if target.address else {})


def _one(text: str | None) -> tuple[str, ...] | None:
    return (text,) if text else None
