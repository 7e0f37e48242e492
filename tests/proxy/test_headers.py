"""The header tables and the structured fields."""

from __future__ import annotations

import pytest

from monitor.contract import Signal, Tier, Verdict
from proxy import headers


def verdict(**changes: object) -> Verdict:
    """Make a verdict with all that the header shows."""
    signals = {
        "response_js": Signal(value=0.0312, tier=Tier.OK),
        "new_clusters": Signal(value=0.02, tier=Tier.OK),
        "reward": Signal(value=1.5, tier=Tier.OK, effect=-0.004),
    }
    fields: dict[str, object] = {
        "route": "support",
        "arm": "control",
        "tier": Tier.OK,
        "time": 100.0,
        "n": {"window": 4096, "baseline": 10_000},
        "baseline": "b7",
        "signals": signals,
    }
    return Verdict(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        ([], (b"", b"")),
        ([(b"Content-Type", b"a"), (b"x-content-len", b"b"), (b"content-type", b"c")], (b"a", b"")),
        ([(b"Content-Encoding", b"gzip"), (b"CONTENT-TYPE", b"a")], (b"a", b"gzip")),
    ],
)
def test_type_and_coding_are_found(
    received: list[tuple[bytes, bytes]], expected: tuple[bytes, bytes]
) -> None:
    """The first of each, whatever the case of its name."""
    assert headers.type_and_coding(received) == expected


def test_drift_status_is_written_as_documented() -> None:
    """All parameters, in the documented order."""
    line = headers.drift_status(verdict(), now=112.9, stale_s=60.0)
    assert line == (
        b'ok;route="support";arm=control;js=0.031;novel=0.02;reward=-0.004;n=4096;age=12;baseline="b7"'
    )


def test_what_is_absent_is_left_out() -> None:
    """A learning verdict has neither signals nor a baseline."""
    line = headers.drift_status(verdict(tier=Tier.LEARNING, signals={}, n={}, baseline=None), 100.0, 60.0)
    assert line == b'learning;route="support";arm=control;age=0'


def test_a_stale_verdict_is_blind() -> None:
    """Beyond the limit nobody may read `ok`."""
    assert headers.drift_status(verdict(), 161.0, 60.0).startswith(b"blind;")


def test_not_a_number_is_left_out() -> None:
    """NaN has no structured form."""
    line = headers.drift_status(
        verdict(signals={"response_js": Signal(value=float("nan"), tier=Tier.OK)}), 100.0, 60.0
    )
    assert b"js" not in line


def test_names_cannot_break_the_field() -> None:
    """Quotes, backslashes, control and non-ASCII characters of a route's name are made harmless."""
    line = headers.drift_status(verdict(route='a"b\\c\r\né', arm="1 2"), 100.0, 60.0)
    assert line.startswith(b'ok;route="a\\"b\\\\c???";arm="1 2";')


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.0, "0.0"), (-0.0001, "0.0"), (1.0, "1.0"), (0.12345, "0.123"), (1e20, "999999999999.0")],
)
def test_decimals_follow_the_standard(number: float, text: str) -> None:
    """At most three digits behind the point, at least one, bounded size."""
    assert headers.sf_decimal(number) == text


def test_hop_by_hop_and_named_headers_stay_here() -> None:
    """Connection names further headers to drop; the rest keeps order and repetition."""
    sent = [
        (b"connection", b"close, X-One"),
        (b"x-one", b"1"),
        (b"x-two", b"a"),
        (b"host", b"proxy"),
        (b"x-two", b"b"),
        (b"proxy-authorization", b"secret"),
        (b"drift-mirror", b"?0"),
    ]
    assert headers.to_upstream(sent) == [(b"x-two", b"a"), (b"x-two", b"b")]


def test_a_connection_header_cannot_take_the_length_away() -> None:
    """Content-Length is framing that the body depends on."""
    sent = [(b"Connection", b"content-length"), (b"Content-Length", b"3")]
    assert headers.to_client(sent) == [(b"Content-Length", b"3")]


def test_our_own_headers_replace_an_inner_proxys() -> None:
    """Of two proxies in a row the outer one speaks."""
    own = [(headers.STATUS, b"ok")]
    assert headers.to_client([(b"Drift-Status", b"critical")], own) == own


@pytest.mark.parametrize("own", [[], [(headers.STATUS, b"ok")]], ids=["off", "on"])
def test_the_mark_of_our_own_answers_is_ours(own: list[tuple[bytes, bytes]]) -> None:
    """An upstream's `Drift-Error` does not pass, with our headers or without."""
    sent = [(b"Drift-Error", b"upstream_refused"), (b"x-a", b"1")]
    assert headers.to_client(sent, own) == [(b"x-a", b"1"), *own]


@pytest.mark.parametrize(("value", "out"), [(b"?0", True), (b"?0;x=1", True), (b"?1", False), (b"0", False)])
def test_opting_out(value: bytes, out: bool) -> None:  # noqa: FBT001 - a table of cases
    """Only the structured false opts out."""
    facts = headers.request_facts([(b"x", b"1"), (b"drift-mirror", value), (b"authorization", b"k")])
    assert (facts.opted_out, facts.credential) == (out, b"k")
