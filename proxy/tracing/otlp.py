"""The OTLP encoding of spans (protobuf). Imported only where traces are configured: its library is optional.

https://opentelemetry.io/docs/specs/otlp/
"""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from proxy.tracing.spans import Span, Value

SERVICE = "driftgate"
# Sampled; whether the parent is another process's is known, and where there is one it is.
_SAMPLED, _KNOWN, _REMOTE = 0x001, 0x100, 0x200


def encode(spans: Sequence[Span], version: str, instance: str) -> bytes:
    """Encode a batch of spans of one worker."""
    about = {"service.name": SERVICE, "service.version": version, "service.instance.id": instance}
    scope = InstrumentationScope(name=f"{SERVICE}.proxy", version=version)
    inner = ScopeSpans(scope=scope, spans=[_span(span) for span in spans])
    resource = Resource(attributes=[_pair(name, value) for name, value in about.items()])
    outer = ResourceSpans(resource=resource, scope_spans=[inner])
    payload: bytes = ExportTraceServiceRequest(resource_spans=[outer]).SerializeToString()
    return payload


def rejected(body: bytes, sent: int) -> int:
    """Return how many spans of a batch the receiver's answer says it rejected."""
    try:
        answer = ExportTraceServiceResponse.FromString(body)
    except DecodeError:  # an answer in JSON, or none: taken, as its status says
        return 0
    count: int = answer.partial_success.rejected_spans
    return max(0, min(sent, count))


def _span(span: Span) -> OtlpSpan:
    return OtlpSpan(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_id,
        flags=_SAMPLED | _KNOWN | (_REMOTE if span.parent_id else 0),
        name=span.name,
        kind=OtlpSpan.SPAN_KIND_CLIENT,
        start_time_unix_nano=span.start,
        end_time_unix_nano=span.end,
        attributes=[_pair(name, value) for name, value in span.attributes.items()],
        status=Status(code=Status.STATUS_CODE_ERROR) if span.failed else None,
    )


def _pair(name: str, value: Value) -> KeyValue:
    return KeyValue(key=name, value=_any(value))


def _any(value: Value) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, tuple):
        return AnyValue(array_value=ArrayValue(values=[_any(each) for each in value]))
    # A lone surrogate, which JSON may hold, is no text of protobuf.
    return AnyValue(string_value=value.encode("utf-8", "replace").decode())
