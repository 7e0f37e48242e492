"""Reading what a model answered; the asking itself is tested through the proxy (tests/monitor/service)."""

from __future__ import annotations

import http.server
import json
import threading

import pytest

from monitor.canary.ask import Question, Reply, ask, read_reply
from monitor.contract.config import Secret


def completion(message, usage=None) -> bytes:
    """Write a chat completion."""
    return json.dumps({"choices": [{"index": 0, "message": message}], "usage": usage}).encode()


@pytest.mark.parametrize(
    ("body", "reply"),
    [
        (completion({"content": "hi"}, {"prompt_tokens": 3, "completion_tokens": 1}), Reply("hi", 3, 1)),
        (completion({"content": "hi"}), Reply("hi")),
        (completion({"content": [{"type": "text", "text": "hi"}]}), Reply("hi")),
        (completion({"content": None, "refusal": "No."}), Reply("No.")),
        (completion({"content": None}), Reply("")),
        (b'{"choices": []}', Reply(failure="no_choice")),
        (b"<html>", Reply(failure="unreadable")),
        (b"", Reply(failure="unreadable")),
    ],
)
def test_answers_are_read(body, reply):
    """Whatever shape content has; what is no completion is a failure."""
    assert read_reply(body) == reply


class Endpoint(http.server.BaseHTTPRequestHandler):
    """Takes down what it is asked and answers as told."""

    seen: list[tuple[dict[str, str], dict[str, object]]]
    status: int
    headers_out: dict[str, str]

    def do_POST(self) -> None:
        """Answer."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).seen.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.status)
        for name, value in self.headers_out.items():
            self.send_header(name, value)
        answer = completion({"content": "hi"})
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@pytest.fixture
def endpoint():
    """Run an endpoint that records."""
    kind = type("Recording", (Endpoint,), {"seen": [], "status": 200, "headers_out": {}})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield kind, f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def put(to: str, **how) -> Reply:
    """Ask."""
    return ask(
        Question(
            **{
                "to": to,
                "model": "m",
                "prompt": "p",
                "key": Secret("k3y"),
                "temperature": 0.7,
                "max_tokens": 9,
                "timeout_s": 5.0,
            }
            | how
        )
    )


def test_a_question_is_a_clients_request_that_is_not_mirrored(endpoint):
    """With the key as bearer token, the limit of tokens, and the header that opts out."""
    kind, url = endpoint
    assert put(url) == Reply("hi")
    assert put(url, key=None, max_tokens=0) == Reply("hi")
    (headers, body), (bare, unlimited) = kind.seen
    assert headers["authorization"] == "Bearer k3y"
    assert headers["drift-mirror"] == "?0"
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "p"}],
        "temperature": 0.7,
        "max_tokens": 9,
    }
    assert "authorization" not in bare
    assert "max_tokens" not in unlimited


def test_answers_that_do_not_count(endpoint):
    """Another arm's, errors, redirects (a key goes nowhere else), silence."""
    kind, url = endpoint
    kind.headers_out = {"Drift-Status": 'ok;route="default";arm=candidate;n=1'}
    assert put(url).failure == "other_arm"
    kind.headers_out = {"Drift-Status": 'ok;route="default";arm=control;n=1'}
    assert put(url).failure == ""
    kind.status, kind.headers_out = 302, {"Location": f"{url}/elsewhere"}
    assert put(url).failure == "status_302"
    kind.status, kind.headers_out = 500, {}
    assert put(url).failure == "status_500"
    assert put("http://127.0.0.1:1/v1").failure == "unreachable"
