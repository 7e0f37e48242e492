"""Values as protobuf has them, and answers as receivers give them."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from proxy.tracing.otlp import encode, rejected
from proxy.tracing.spans import Span, Value
from tests.proxy.tracing.conftest import attributes_of


def test_every_kind_of_value_comes_back() -> None:
    """Truth values are no integers, and half a character is replaced."""
    values: dict[str, Value] = {"a": True, "b": 7, "c": 0.5, "d": "é", "e": ("x", "y"), "f": "\ud800"}
    span = Span("n", b"t" * 16, b"s" * 8, b"p" * 8, 1, 2, values, failed=True)
    (resource,) = ExportTraceServiceRequest.FromString(encode([span], "1", "i")).resource_spans
    (found,) = resource.scope_spans[0].spans
    assert attributes_of(found) == {"a": True, "b": 7, "c": 0.5, "d": "é", "e": ["x", "y"], "f": "?"}
    assert (found.status.code, found.flags, found.parent_span_id) == (2, 0x301, b"p" * 8)


@pytest.mark.parametrize(("said", "count"), [(0, 0), (3, 3), (99, 5), (-4, 0)])
def test_what_a_receiver_rejects_is_believed_within_reason(said: int, count: int) -> None:
    """No more than was sent."""
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = said
    assert rejected(answer.SerializeToString(), 5) == count


def test_an_answer_that_is_no_protobuf_took_everything() -> None:
    """Its status says so."""
    assert rejected(b"", 5) == rejected(b'{"partialSuccess":{}}', 5) == 0
