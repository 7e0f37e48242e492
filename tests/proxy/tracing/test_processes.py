"""Traces of the real proxy: the caller's header goes upstream as it came, and a dead receiver harms nobody."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from tests.proxy.conftest import Model
from tests.proxy.processes import RunningProxy
from tests.proxy.test_server import adds_up
from tests.proxy.tracing.conftest import Receiver, attributes_of
from tests.proxy.tracing.test_spans import CALLER, HEADER, TRACE

Serve = Callable[[type[BaseHTTPRequestHandler]], str]


class Noting(Model):
    """A model that notes the caller's trace."""

    seen: list[tuple[str | None, str | None]] = []  # noqa: RUF012 - filled by the server's threads, read by the test

    def do_POST(self) -> None:  # noqa: N802 - the name that http.server calls
        """Note, then answer."""
        self.seen.append((self.headers.get("traceparent"), self.headers.get("tracestate")))
        super().do_POST()


def ask(base: str, *, stream: bool = False, **headers: str) -> bytes:
    """POST a chat request."""
    document = {"model": "m", "stream": stream, "messages": [{"role": "user", "content": "hello"}]}
    request = urllib.request.Request(  # noqa: S310 - our own loopback
        base + "/v1/chat/completions", json.dumps(document).encode(), headers
    )
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - our own loopback
        return bytes(response.read())


def test_the_span_is_the_callers_child_and_the_header_the_upstreams(
    tmp_path: Path, serve: Serve, receiver: Receiver
) -> None:
    """The upstream sees the header byte for byte, or none; the receiver gets a span for each exchange."""
    config = {"proxy": {"upstream": serve(Noting) + "/v1", "traces": {"endpoint": receiver.endpoint}}}
    with RunningProxy(tmp_path, config) as proxy:
        ask(proxy.base, stream=True, traceparent=HEADER.decode(), tracestate="a=1,b=2")
        ask(proxy.base)
        sent = b'driftgate_spans_total{outcome="sent"} 2.0'
        proxy.wait_for(lambda: sent in (proxy.get(proxy.admin + "/metrics") or b""))
        assert len(receiver.spans) == 2
        ask(proxy.base)
        assert proxy.stop() == 0
    assert Noting.seen == [(HEADER.decode(), "a=1,b=2"), (None, None), (None, None)]
    assert len(receiver.spans) == 3
    (child,) = [span for span in receiver.spans if span.parent_span_id]
    assert (child.trace_id.hex(), child.parent_span_id.hex()) == (TRACE, CALLER)
    found = attributes_of(child)
    assert (found["gen_ai.request.stream"], found["gen_ai.response.finish_reasons"]) == (True, ["stop"])
    assert 0 < found["gen_ai.response.time_to_first_chunk"] < 10
    assert (found["server.address"], found["gen_ai.response.model"]) == ("127.0.0.1", "m")
    assert "hello" not in str(receiver.requests).lower()


def test_a_dead_receiver_harms_nobody(tmp_path: Path, serve: Serve, free_port: int) -> None:
    """Clients are served, exchanges mirrored, spans counted as dropped, and the proxy ends as ever."""
    traces = {"endpoint": f"http://127.0.0.1:{free_port}/v1/traces", "queue": 5}
    with RunningProxy(tmp_path, {"proxy": {"upstream": serve(Model) + "/v1", "traces": traces}}) as proxy:
        for _ in range(20):
            assert b"Hello world" in ask(proxy.base)
        proxy.wait_for(lambda: adds_up(proxy.mirror()) and proxy.mirror()["mirrored"] == 20)
        told = (proxy.get(proxy.admin + "/metrics") or b"").decode()
        assert 'driftgate_spans_total{outcome="dropped"} 15.0' in told
        assert proxy.stop() == 0
        assert len(proxy.logged("traces cannot be delivered")) == 1
