"""A real receiver of OTLP over HTTP, for spans that a test wants to read."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.proxy.conftest import serve

__all__ = ["serve"]


class Receiver:
    """What arrived, decoded, and what the receiver answers from now on."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.status = 200
        self.rejects = 0
        # Sent behind the answer's own bytes.
        self.more = b""
        self.requests: list[ExportTraceServiceRequest] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.attempts = 0
        # Cleared, requests are taken in and not answered.
        self.answers = threading.Event()
        self.answers.set()

    @property
    def spans(self) -> list[Any]:
        """All spans, in their order."""
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


def value_of(any_value: Any) -> Any:
    """Read a value whatever its type."""
    kind = any_value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(each) for each in any_value.array_value.values]
    return getattr(any_value, kind)


def attributes_of(span: Any) -> dict[str, Any]:
    """Return a span's attributes."""
    return {pair.key: value_of(pair.value) for pair in span.attributes}


@pytest.fixture
def receiver(serve: Callable[[type[BaseHTTPRequestHandler]], str]) -> Receiver:
    """Give a receiver on a port of its own."""
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Take a batch in, or do not."""
            body = self.rfile.read(int(self.headers["content-length"]))
            state.attempts += 1
            state.answers.wait(20)
            answer = ExportTraceServiceResponse()
            if state.status == 200:
                assert (self.path, self.headers["content-type"]) == ("/v1/traces", "application/x-protobuf")
                state.bodies.append(body)
                state.requests.append(ExportTraceServiceRequest.FromString(body))
                state.headers.append(dict(self.headers.items()))
                answer.partial_success.rejected_spans = state.rejects
            content = answer.SerializeToString() + state.more
            self.send_response(state.status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    state.endpoint = serve(Handler) + "/v1/traces"
    return state
