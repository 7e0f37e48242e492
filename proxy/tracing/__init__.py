"""Traces: an OpenTelemetry span for each mirrored exchange, made and sent off the hot path.

Law: nothing here is on the way of a request. The mirror's thread describes a finished exchange (`spans`, pure) and
leaves the span in a bounded queue; a thread of its own sends (`export`). A receiver that is dead, slow or wrong costs
spans, which are counted, and nothing else. A span never holds text of a prompt or an answer, a header or a credential.
"""

from __future__ import annotations

import random

from monitor.contract.config import Config
from proxy.redact import READY, Redactor
from proxy.routing import Router
from proxy.scoreboard import Scoreboard
from proxy.tls import towards_upstreams
from proxy.tracing.export import Receiver, Tracer, check_traces
from proxy.tracing.spans import Describer, targets

__all__ = ["Tracer", "check_traces", "make_describer", "make_tracer"]


# A decoded body may be this many times larger than the largest one that is kept.
_DECODED_RATIO = 8


def make_describer(config: Config, router: Router) -> Describer:
    """Prepare describing from the configuration. Every ready-made redaction applies, whatever the mirror's say."""
    return Describer(
        targets(router),
        Redactor(tuple(READY), config.mirror.redact_patterns),
        share=config.proxy.traces.sample,
        max_decoded=config.mirror.max_body_bytes * _DECODED_RATIO,
        chance=random.SystemRandom(),
    )


def make_tracer(config: Config, describe: Describer, board: Scoreboard, version: str) -> Tracer | None:
    """Return the thread that sends a worker's spans, to be started; None where none are configured."""
    traces = config.proxy.traces
    if not traces.endpoint:
        return None
    context = towards_upstreams(config.proxy.tls)
    receiver = Receiver(traces.endpoint, traces.authorization, context, version, board.producer)
    return Tracer(receiver, describe, board, traces.queue)
