"""Faults of our own: what failed between us and the upstream, and how a client is told.

    UpstreamFault        the upstream could not be asked or did not answer properly
    ClientLeft           nobody is left to answer

One table maps a fault's code to the HTTP status and the sentence. The upstream's own error answers are not faults:
they pass verbatim. A response made here is marked with `Drift-Error: <code>` and has OpenAI's error shape.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from proxy.headers import ERROR


class ClientLeft(Exception):
    """The client closed its connection."""


class UpstreamFault(Exception):
    """The upstream failed; `code` is a key of `FAULTS`, the message says what happened."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(detail or code)
        self.code = code
        self.detail = detail


# code -> (status, sentence)
FAULTS: dict[str, tuple[int, str]] = {
    "upstream_refused": (502, "The upstream refused the connection."),
    "upstream_unresolved": (502, "The upstream's host name cannot be resolved."),
    "upstream_tls": (502, "The upstream's TLS handshake failed."),
    "upstream_reset": (502, "The upstream closed the connection before it answered."),
    "upstream_garbage": (502, "The upstream's answer is not HTTP."),
    "upstream_connect_timeout": (504, "The upstream did not accept the connection in time."),
    "upstream_timeout": (504, "The upstream did not answer in time."),
    "draining": (503, "This proxy is shutting down; try again."),
    "websocket_unsupported": (501, "WebSocket upgrades are not supported here."),
    "malformed_request": (
        400,
        "This is not a request of HTTP/1.1 that a proxy with a fixed upstream can take.",
    ),
    "bad_request_target": (400, "The request target cannot be forwarded."),
    "model_not_routed": (404, "No route serves this model."),
    "endpoint_unsupported": (501, "This route's provider serves chat completions only."),
    "body_too_large": (413, "The request body is larger than this proxy takes."),
    "head_timeout": (408, "The request's headers did not arrive in time."),
    "target_too_long": (414, "The request's path and query are longer than this proxy takes."),
    "too_many_headers": (431, "The request has more headers than this proxy takes."),
    "head_too_large": (431, "The request's headers are larger than this proxy takes."),
    "internal": (500, "This proxy failed; its log says how."),
    "too_many_connections": (503, "This proxy has no room for another connection; try again."),
    "provider_import": (502, "The provider library cannot be loaded."),
    "not_found": (404, "There is nothing at this path of the proxy itself."),
}


# What may still be on its way behind these is not read any more, so the connection cannot go on.
CLOSING = frozenset(
    {
        "malformed_request",
        "head_timeout",
        "body_too_large",
        "target_too_long",
        "too_many_headers",
        "head_too_large",
        "too_many_connections",
    }
)
# Their detail (a number) is for the client too; others' are for the log.
TOLD = frozenset({"body_too_large"})


class Answer(NamedTuple):
    """A whole response made here."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def error_body(message: str, kind: str, code: str) -> bytes:
    """Return OpenAI's error shape as JSON."""
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": code}})


def fault_answer(code: str, detail: str = "") -> Answer:
    """Return the response for a fault of our own."""
    status, sentence = FAULTS[code]
    message = f"{sentence} ({detail})" if detail and code in TOLD else sentence
    kind = "invalid_request_error" if status < 500 else "proxy_error"
    body = error_body(message, kind, code)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (ERROR, code.encode()),
    ]
    if code in CLOSING:
        headers.append((b"connection", b"close"))
    return Answer(status, headers, body)
