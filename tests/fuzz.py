"""Throw damaged traffic at the tap for as long as one likes: `python -m tests.fuzz --minutes 10`.

Law: the same laws as in `tests/proxy/test_laws.py`, with inputs made from real shapes by cutting, repeating, mixing and
breaking them, a thousand times a second where hypothesis draws tens. A seed gives the same run again. The first input
that breaks a law is written down whole, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable

from tests.proxy import laws
from tests.proxy.laws import Served

TOKENS = (
    b"data:", b"data: ", b"\n", b"\n\n", b"\r\n", b"\r", b":", b": ping\n\n", b"event: error\n", b"\xef\xbb\xbf", b"[DONE]",
    b"{", b"}", b"[", b"]", b'"', b"\\", b"\\u0000", b"\\ud83d", b"\xff", b"\xe2\x82", b"\0", b"null", b"true", b"-1",
    b"1e999", b"18446744073709551616", b"[" * 2000, b'{"a":' * 1500, b'"content":', b'"choices":', b'"index":-1,',
    b'"tool_calls":[{"index":9,"function":{"name":"f","arguments":"{"}}]', b'"finish_reason":null', b'"usage":{}',
    b"a@b.example", b"4111 1111 1111 1111", b"sk-proj-0123456789abcdef0123", b"ORD-7", b"\xf0\x9f\x98\x80",
)  # fmt: skip


def _chunk(**delta: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}
    return b"data: " + json.dumps({"model": "m", "choices": [choice]}).encode() + b"\n\n"


def _event(kind: str, **more: object) -> bytes:
    return f"event: {kind}\ndata: ".encode() + json.dumps({"type": kind, **more}).encode() + b"\n\n"


_CALL = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"a": 1}'}}
_MESSAGE = {
    "role": "assistant",
    "content": "héllo 4111 1111 1111 1111",
    "tool_calls": [_CALL],
    "reasoning": "so",
}
_ASK = {
    "model": "m",
    "stream": True,
    "user": "u1",
    "messages": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "write to a@b.example"}]},
    ],
}
_FINISHED = {"id": "r", "model": "m", "status": "completed", "output": [{"type": "message", "content": []}]}
REQUESTS = tuple(
    json.dumps(asked).encode()
    for asked in (
        _ASK,
        {"model": "m", "prompt": ["one", "two"]},
        {"model": "m", "input": "hi", "instructions": "be"},
    )
)
RESPONSES = (
    b"".join(
        (
            _chunk(role="assistant"),
            _chunk(content="hé"),
            _chunk(tool_calls=[_CALL]),
            _chunk(),
            b"data: [DONE]\n\n",
        )
    ),
    b'data: {"choices":[{"text":"one","index":0}]}\n\ndata: {"choices":[{"text":"","finish_reason":"length"}]}\n\n',
    _event("response.output_text.delta", delta="hé") + _event("response.completed", response=_FINISHED),
    _event("response.failed", response={"error": {"code": "server_error", "message": "m"}}),
    json.dumps(
        {
            "model": "m",
            "choices": [{"message": _MESSAGE, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3},
        }
    ).encode(),
    json.dumps({"choices": [{"text": "one", "finish_reason": "stop"}]}).encode(),
    json.dumps(
        {"output": [{"type": "message", "content": [{"type": "output_text", "text": "hé"}]}]}
    ).encode(),
    b'{"error":{"message":"m","type":"t","param":null,"code":"rate_limit_exceeded"}}',
)
_PACK: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.compress,
    b"deflate": zlib.compress,
    b"gzip, deflate": lambda body: zlib.compress(gzip.compress(body)),
}


def damage(body: bytes, chance: random.Random) -> bytes:
    """Cut, repeat, mix and break a body a few times."""
    for _ in range(chance.choice((0, 1, 1, 2, 3, 8))):
        at = chance.randrange(len(body) + 1)
        to = min(len(body), at + chance.choice((0, 1, 2, 7, 40)))
        piece = chance.choice(
            (
                b"",
                body[at:to] * 2,
                chance.choice(TOKENS),
                bytes([chance.randrange(256)]),
                chance.choice(RESPONSES)[:60],
            )
        )
        body = body[:at] + piece + body[to:]
        if chance.random() < 0.05:
            body = body[:at]
    if chance.random() < 0.2:
        body = body.replace(b"\n", chance.choice((b"\r\n", b"\r")))
    return body


def throw(chance: random.Random) -> tuple[Served, list[int]]:
    """Make an exchange and the places where the network cuts it."""
    coding = chance.choice(laws.CODINGS) if chance.random() < 0.3 else b""
    body = damage(chance.choice(RESPONSES), chance)
    if chance.random() < 0.7:
        body = _PACK.get(coding, bytes)(body)
        body = damage(body, chance) if chance.random() < 0.3 else body
    served = Served(
        endpoint=chance.choice(laws.ENDPOINT_NAMES),
        request=damage(chance.choice(REQUESTS), chance),
        response=body,
        status=chance.choice((0, 200, 200, 200, 200, 404, 500)),
        content_type=chance.choice(
            (b"text/event-stream", b"text/event-stream; charset=utf-8", b"application/json", b"")
        ),
        request_coding=chance.choice(laws.CODINGS) if chance.random() < 0.1 else b"",
        content_coding=coding,
        end=chance.choice(laws.ENDS) if chance.random() < 0.3 else "",
    )
    return served, [chance.randrange(4000) for _ in range(chance.choice((0, 1, 3, 12)))]


def run(seconds: float, seed: int, say: Callable[[str], object] = print) -> int:
    """Throw until the time is up; return the exit status."""
    chance, began, kinds = random.Random(seed), time.monotonic(), Counter[str]()
    thrown = 0
    while time.monotonic() - began < seconds:
        served, places = throw(chance)
        thrown += 1
        try:
            laws.events_are_those_of_the_standard(served.response)
            laws.an_exchange_does_not_depend_on_its_cuts(served, places)
            laws.decoding_stays_within_its_limit(
                served.response, served.content_coding, chance.randrange(1, 5000)
            )
        except Exception as error:  # noqa: BLE001 - whatever is raised here is what we look for
            say(
                f"law broken after {thrown} exchanges, seed {seed}: {type(error).__name__}: {error}\n{served!r}\n{places}"
            )
            return 1
        exchange = laws.assembled(served, ())
        kinds[exchange.error or ("complete" if exchange.complete else "partial")] += 1
    took = time.monotonic() - began
    found = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common(12))
    say(f"no law broken: {thrown} exchanges in {took:.0f} s, seed {seed}; read as: {found}")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    given = parser.parse_args()
    sys.exit(run(given.minutes * 60.0, given.seed))
