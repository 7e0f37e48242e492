"""Sending spans to a real receiver: whole batches, bounded waiting, and every span counted."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor.contract import Exchange
from monitor.contract.config import ConfigError, Secret, Traces
from proxy.scoreboard import Counters, Scoreboard
from proxy.tracing import export, otlp
from proxy.tracing.export import Receiver as Address
from proxy.tracing.export import Tracer, check_traces
from proxy.tracing.spans import Describer
from tests.proxy.tracing.conftest import Receiver, attributes_of
from tests.proxy.tracing.test_spans import KNOWN, REDACT, captured

EXCHANGE = Exchange(id="x", time=1.0, prompt="", route="support", model="m", response="", latency_s=0.5)


@contextmanager
def sending(directory: Path, endpoint: str, limit: int = 1000) -> Iterator[tuple[Tracer, Scoreboard]]:
    """Give a running tracer and its counters."""
    board = Scoreboard(directory, "proxy-0-abc")
    describe = Describer(KNOWN, REDACT, share=1.0, max_decoded=2**20, chance=random.Random(1))
    address = Address(endpoint, Secret("Bearer open-sesame"), None, "1.2.3", board.producer)
    tracer = Tracer(address, describe, board, limit)
    tracer.start()
    try:
        yield tracer, board
    finally:
        tracer.stop(5.0)
        board.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look and try again sooner than in earnest."""
    monkeypatch.setattr(export, "EVERY_S", 0.02)
    monkeypatch.setattr(export, "FIRST_PAUSE_S", 0.05)


def observe(tracer: Tracer, n: int) -> None:
    """Let exchanges end."""
    for _ in range(n):
        tracer.observe(captured(b'{"model":"m"}', b"{}"), EXCHANGE)


def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    """Poll until a condition holds."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "condition never held"
        time.sleep(0.01)


def outcomes(counters: Counters) -> tuple[int, int, int]:
    """Return how many spans were sent, dropped, failed."""
    return counters["spans.sent"], counters["spans.dropped"], counters["spans.failed"]


def test_spans_arrive_as_opentelemetry_says(tmp_path: Path, receiver: Receiver) -> None:
    """Protobuf over HTTP, with the resource, the kind and the types of values; what was left is sent at the end."""
    with sending(tmp_path, receiver.endpoint) as (tracer, board):
        observe(tracer, 1)
        until(lambda: bool(receiver.spans))
        observe(tracer, 600)
        assert tracer.stop(5.0)
        assert outcomes(board.counters()) == (601, 0, 0)
    assert len(receiver.spans) == 601
    span = receiver.spans[0]
    assert (span.name, span.kind, span.status.code) == ("chat m", 3, 0)
    assert (len(span.trace_id), len(span.span_id), span.parent_span_id) == (16, 8, b"")
    assert span.end_time_unix_nano - span.start_time_unix_nano == 500_000_000
    assert attributes_of(span)["server.port"] == 8443
    (resource,) = receiver.requests[0].resource_spans
    assert attributes_of(resource.resource) == {
        "service.name": "driftgate",
        "service.version": "1.2.3",
        "service.instance.id": "proxy-0-abc",
    }
    assert {headers["authorization"] for headers in receiver.headers} == {"Bearer open-sesame"}


def test_what_may_go_better_later_is_tried_again(tmp_path: Path, receiver: Receiver) -> None:
    """While the receiver is ill spans wait; beyond the queue they are dropped; none is sent twice."""
    receiver.status = 503
    with sending(tmp_path, receiver.endpoint, limit=10) as (tracer, board):
        observe(tracer, 25)
        until(lambda: receiver.attempts >= 2)
        assert outcomes(board.counters()) == (0, 15, 0)
        receiver.status = 200
        until(lambda: outcomes(board.counters()) == (10, 15, 0))
    assert len({span.span_id for span in receiver.spans}) == len(receiver.spans) == 10


def test_what_is_refused_for_good_has_failed(tmp_path: Path, receiver: Receiver) -> None:
    """A wrong token does not get better by repetition; a receiver that took a part says how much."""
    receiver.status = 401
    with sending(tmp_path, receiver.endpoint) as (tracer, board):
        observe(tracer, 3)
        until(lambda: outcomes(board.counters()) == (0, 0, 3))
        receiver.status, receiver.rejects = 200, 1
        observe(tracer, 1)
        until(lambda: outcomes(board.counters()) == (0, 0, 4))
    assert receiver.attempts == 2


def test_a_receiver_that_hangs_or_is_not_there_costs_nobody_anything(
    tmp_path: Path, receiver: Receiver, free_port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """`observe` stays quick, the end is bounded, and what could not be delivered is counted."""
    receiver.answers.clear()
    for endpoint in (receiver.endpoint, f"http://127.0.0.1:{free_port}/v1/traces"):
        with sending(tmp_path / str(len(endpoint)), endpoint, limit=50) as (tracer, board):
            observe(tracer, 1)
            time.sleep(0.1)
            began = time.monotonic()
            observe(tracer, 200)
            assert time.monotonic() - began < 1.0
            assert outcomes(board.counters())[1] >= 150
            ended = tracer.stop(0.5)
            assert time.monotonic() - began < 5.0
            assert ended == (endpoint != receiver.endpoint)
            receiver.answers.set()
            tracer.join(5.0)
    shown = capfd.readouterr()
    assert "open-sesame" not in shown.out + shown.err


def test_a_receiver_that_talks_without_end_is_not_listened_to(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it answered with is what counts; of the rest little is read."""
    sizes: list[int] = []
    monkeypatch.setattr(otlp, "rejected", lambda body, _: sizes.append(len(body)) or 0)
    receiver.more = bytes(50_000_000)
    with sending(tmp_path, receiver.endpoint) as (tracer, board):
        observe(tracer, 1)
        until(lambda: outcomes(board.counters()) == (1, 0, 0))
    assert 0 < sizes[0] < 1_000_000


def test_a_missing_library_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra's name; without an endpoint nobody needs it."""
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda _: None)
    check_traces(Traces())
    with pytest.raises(ConfigError, match=r"driftgate\[otel\]"):
        check_traces(Traces(endpoint="http://127.0.0.1:4318/v1/traces"))
