"""What must hold for any bytes, as functions that assert it: drawn by hypothesis in `test_laws.py`, thrown by `tests.fuzz`.

Law: each function takes plain values, touches no socket and no clock, and names in its docstring what it asserts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from monitor.contract import Exchange, decode_exchanges, encode_exchanges
from proxy import headers
from proxy.assemble import Assembler
from proxy.capture import CAPTURE_OVERHEAD, Budget, Capture
from proxy.coding import CodingError, decode_body
from proxy.endpoints import ENDPOINTS
from proxy.redact import READY, Redactor
from proxy.sse import event_data

Pairs = Sequence[tuple[bytes, bytes]]
DECODED_LIMIT = 100_000
ASSEMBLE = Assembler(Redactor(tuple(READY), {"order": r"ORD-\d+"}), b"salt", DECODED_LIMIT)
ENDPOINT_NAMES = tuple(ENDPOINTS)
CODINGS = (b"", b"gzip", b"deflate", b"br", b"zstd", b"gzip, deflate", b"identity", b"unheard-of")
ENDS = ("", "client_left", "upstream_reset")
REASONS = {"coding_damaged", "coding_unknown", "too_large_decoded"}


class Served(NamedTuple):
    """One exchange in raw form, before it is cut into what the network delivered."""

    endpoint: str = ENDPOINT_NAMES[0]
    request: bytes = b"{}"
    response: bytes = b""
    status: int = 200
    content_type: bytes = b"text/event-stream"
    request_coding: bytes = b""
    content_coding: bytes = b""
    end: str = ""


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """Cut bytes at these places (taken modulo their length)."""
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(edges)]


def read_otherwise(stream: bytes) -> list[bytes]:
    """Read a stream's events a second way, straight from the standard's grammar."""
    events, data = [], None
    for line in re.split(rb"\r\n|\n|\r", stream.removeprefix(b"\xef\xbb\xbf")):
        name, _, value = line.partition(b":")
        if not line and data is not None:
            events.append(b"\n".join(data))
            data = None
        elif name == b"data":
            data = [*(data or []), value.removeprefix(b" ")]
    return events if data is None else [*events, b"\n".join(data)]


def events_are_those_of_the_standard(stream: bytes) -> None:
    """Two readers that share no code find the same events."""
    assert list(event_data(stream)) == read_otherwise(stream)


def assembled(served: Served, places: Sequence[int]) -> Exchange:
    """Capture an exchange in pieces and assemble it."""
    capture = Capture("id", 1.0, 10.0, Budget(10**9), 10**9, served.endpoint, served.request_coding)
    capture.status, capture.end, capture.ended = served.status, served.end, 10.5
    capture.content_type, capture.content_coding = served.content_type, served.content_coding
    for piece in cut(served.request, places):
        capture.keep_request(piece)
    for piece in cut(served.response, places):
        capture.keep_response(piece, lambda: 10.25)
    return ASSEMBLE(capture)


def an_exchange_does_not_depend_on_its_cuts(served: Served, places: Sequence[int]) -> None:
    """Assembling never raises, gives the same for every split, and what it gives can go over the bus."""
    whole = assembled(served, ())
    assert assembled(served, places) == whole
    assert decode_exchanges(encode_exchanges([whole])) == [whole]


def a_budget_adds_up(limit: int, body_limit: int, pieces: Sequence[tuple[bool, bytes]]) -> None:
    """Hold no more than allowed, know how much that is, and let all of it go at once."""
    budget = Budget(limit)
    capture = Capture("id", 1.0, 10.0, budget, body_limit)
    for is_request, piece in pieces:
        if is_request:
            capture.keep_request(piece)
        else:
            capture.keep_response(piece, lambda: 10.25)
        assert budget.used == capture.held
        if not capture.drop:
            assert budget.used <= limit
            assert sum(map(len, capture.request)) == capture.request_bytes <= body_limit
            assert sum(map(len, capture.response)) == capture.response_bytes <= body_limit
        else:
            # One that there was no room for from the start is let go at its end.
            assert (capture.request, capture.response) == ([], [])
            assert capture.held in {0, CAPTURE_OVERHEAD}
    capture.let_go(capture.drop or "queue_full")
    assert budget.used == 0


def decoding_stays_within_its_limit(body: bytes, coding: bytes, limit: int) -> None:
    """Bytes come back, no more than allowed, or one of three reasons."""
    try:
        assert len(decode_body(body, coding, limit)) <= limit or coding in {b"", b"identity"}
    except CodingError as error:
        assert str(error) in REASONS  # noqa: PT017 - raising is one of two right ends


def headers_pass_in_order_or_not_at_all(sent: Pairs) -> None:
    """Keep order, repetition and bytes of what passes; hold back hop-by-hop headers and what `Connection` names."""
    lower = [(name.lower(), value) for name, value in sent]
    named = {
        token.strip().lower() for name, value in lower if name == b"connection" for token in value.split(b",")
    }
    named -= {b"content-length"}
    upstream = headers.to_upstream(lower)
    assert upstream == [pair for pair in lower if pair[0] not in headers.REQUEST_DROPPED | named]
    assert headers.to_upstream(upstream) == upstream
    own = [(headers.STATUS, b"ok"), (headers.EXCHANGE, b'"1"')]
    client = headers.to_client(sent, own)
    stays = headers.RESPONSE_DROPPED | headers.RESPONSE_REPLACED | named
    assert client == [pair for pair in sent if pair[0].lower() not in stays] + own
    assert headers.to_client(client, own) == client


_STRING = re.compile(r'"(?:[ !#-\[\]-~]|\\["\\])*"')
_DECIMAL = re.compile(r"-?[0-9]{1,12}\.[0-9]{1,3}")


def structured_fields_are_well_formed(text: str, number: float) -> None:
    """Any text is one RFC 9651 string and any number one decimal: neither can end the field and begin another."""
    assert _STRING.fullmatch(headers.sf_string(text))
    assert _DECIMAL.fullmatch(headers.sf_decimal(number))


def redacting_together_is_redacting_each(texts: Sequence[str]) -> None:
    """Asking once for all texts of an exchange leaves out nothing that asking for each would find."""
    ready = Redactor(tuple(READY), {})
    assert ready.may_change("\n".join(texts)) or [ready(text) for text in texts] == list(texts)
