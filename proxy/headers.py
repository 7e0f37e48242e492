"""Which headers pass, which stay here and which are added: tables and pure functions over raw byte pairs.

Law: names are compared in lower case, values are never looked into (but `Connection`, which names further headers
to drop), order and repetition are kept. Nothing is added to a request. To a response come at most the two headers
below, as RFC 9651 structured fields. Hop-by-hop: RFC 9110 section 7.6.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from monitor.contract import Tier, Verdict

Headers = Sequence[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# `Host` names us, not the upstream. `Expect` was answered when the body was first read.
REQUEST_DROPPED = HOP_BY_HOP | {b"host", b"expect", b"drift-mirror", b"drift-sticky"}
# Whoever reads `Drift-Error` takes the response for one that this proxy made, whatever `proxy.headers` says.
RESPONSE_DROPPED = HOP_BY_HOP | {b"drift-error"}
# A proxy behind another one of its kind: the outer one speaks.
RESPONSE_REPLACED = frozenset({b"drift-status", b"drift-exchange"})

# A tunnel is agreed on hop by hop, so the handshake's two are written anew.
WEBSOCKET_ASKED = ((b"connection", b"Upgrade"), (b"upgrade", b"websocket"))

OPT_OUT = b"drift-mirror"
STICKY = b"drift-sticky"
# On a response that this proxy made itself, as a token: `Drift-Error: upstream_refused`.
ERROR = b"drift-error"
STATUS = b"drift-status"
EXCHANGE = b"drift-exchange"


def value_of(headers: Headers, name: bytes) -> bytes:
    """Return the first value of a header (lower-case name); empty when it is absent."""
    length = len(name)
    for key, value in headers:
        if len(key) == length and key.lower() == name:
            return value
    return b""


def type_and_coding(headers: Headers) -> tuple[bytes, bytes]:
    """Return the first values of Content-Type and Content-Encoding, found in one pass; empty when absent."""
    content_type, coding = b"", b""
    for key, value in headers:
        length = len(key)
        if length == 12 and not content_type and key.lower() == b"content-type":
            content_type = value
        elif length == 16 and not coding and key.lower() == b"content-encoding":
            coding = value
    return content_type, coding


def is_handshake(version: str, headers: Headers) -> bool:
    """Tell whether a request asks for a WebSocket; names are in lower case.

    Without `Connection: Upgrade`, or in HTTP/1.0, an `Upgrade` is to be ignored (RFC 9110 section 7.8).
    """
    if version != "1.1" or value_of(headers, b"upgrade").lower() != b"websocket":
        return False
    options = b",".join(value for name, value in headers if name == b"connection")
    return b"upgrade" in {option.strip().lower() for option in options.split(b",")}


def to_upstream(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return the request headers that go upstream (names are lower case already, as ASGI demands)."""
    dropped = _with_named_by_connection(headers, REQUEST_DROPPED)
    return [pair for pair in headers if pair[0] not in dropped]


def to_client(headers: Headers, own: Headers = ()) -> list[tuple[bytes, bytes]]:
    """Return the response headers that go to the client, with our own behind them."""
    dropped = _with_named_by_connection(headers, RESPONSE_DROPPED)
    if own:
        dropped = dropped | RESPONSE_REPLACED
    kept = [pair for pair in headers if pair[0].lower() not in dropped]
    kept.extend(own)
    return kept


def _with_named_by_connection(headers: Headers, dropped: frozenset[bytes]) -> frozenset[bytes]:
    for name, value in headers:
        if len(name) == 10 and name.lower() == b"connection":
            named = {token.strip().lower() for token in value.split(b",")}
            dropped = dropped | (named - {b"content-length"})
    return dropped


class RequestFacts(msgspec.Struct, frozen=True, gc=False):
    """What the mirror needs to know of a request's headers, found in one pass."""

    # Names the user, once hashed.
    credential: bytes = b""
    coding: bytes = b""
    opted_out: bool = False


NO_FACTS = RequestFacts()
_TELLING = frozenset({b"authorization", b"api-key", b"content-encoding", OPT_OUT})


def request_facts(headers: Headers) -> RequestFacts:
    """Read the facts from request headers (names are lower case already, as ASGI demands)."""
    credential, coding, opted_out = b"", b"", False
    for name, value in headers:
        if name in _TELLING:
            if name == b"content-encoding":
                coding = value
            elif name == OPT_OUT:
                # `?0`, parameters allowed (RFC 9651).
                opted_out = value.partition(b";")[0].strip() == b"?0"
            else:
                credential = value
    return RequestFacts(credential, coding, opted_out)


def sf_string(text: str) -> str:
    """Write an RFC 9651 string; what is not printable ASCII becomes `?`."""
    safe = "".join(c if " " <= c <= "~" else "?" for c in text)
    escaped = safe.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def sf_decimal(number: float) -> str:
    """Write an RFC 9651 decimal: at most three digits behind the point, at least one."""
    limited = max(-999_999_999_999.0, min(999_999_999_999.0, number))
    text = f"{limited:.3f}".rstrip("0")
    text = text + "0" if text.endswith(".") else text
    return "0.0" if text == "-0.0" else text


def _number(verdict: Verdict, signal: str, field: str) -> str | None:
    found = verdict.signals.get(signal)
    number = getattr(found, field) if found else None
    # NaN is not equal to itself and has no structured form.
    return sf_decimal(number) if number is not None and number == number else None  # noqa: PLR0124 - NaN test


def drift_status(verdict: Verdict, now: float, stale_s: float) -> bytes:
    """Serialise a verdict as `Drift-Status`; one older than `stale_s` seconds says `blind`."""
    age = max(0, int(now - verdict.time))
    tier = Tier.BLIND if age > stale_s else verdict.tier
    window = verdict.n.get("window")
    parameters = (
        ("route", sf_string(verdict.route)),
        ("arm", verdict.arm if _is_token(verdict.arm) else sf_string(verdict.arm)),
        ("js", _number(verdict, "response_js", "value")),
        ("novel", _number(verdict, "new_clusters", "value")),
        ("reward", _number(verdict, "reward", "effect")),
        ("n", None if window is None else str(window)),
        ("age", str(age)),
        ("baseline", None if verdict.baseline is None else sf_string(verdict.baseline)),
    )
    return _item(tier, parameters)


def no_verdict(route: str, arm: str, tier: Tier) -> bytes:
    """Serialise what is said before any verdict exists: `learning` or `blind`."""
    return _item(tier, (("route", sf_string(route)), ("arm", arm if _is_token(arm) else sf_string(arm))))


def _item(tier: Tier, parameters: Iterable[tuple[str, str | None]]) -> bytes:
    text = tier.value + "".join(f";{name}={value}" for name, value in parameters if value is not None)
    return text.encode("ascii", "replace")


def _is_token(text: str) -> bool:
    return text.isascii() and text.replace("-", "a").replace("_", "a").isalnum() and text[0].isalpha()
