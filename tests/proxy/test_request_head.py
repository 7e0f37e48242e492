"""Heads that are refused, and why."""

from __future__ import annotations

import pytest

from monitor.contract.config import Limits
from proxy.request_head import Head, announced, framing, head_bytes, objection

HOST = [(b"host", b"h")]
SMALL = Limits(head_bytes=100, header_count=3, target_bytes=20)


@pytest.mark.parametrize(
    ("version", "target", "headers", "code"),
    [
        ("1.1", b"/v1/x", HOST, ""),
        ("1.0", b"/v1/x", [], ""),
        ("1.1", b"/v1/x", [*HOST, (b"transfer-encoding", b" Chunked ")], ""),
        ("1.1", b"/" * 20, HOST, ""),
        ("1.1", b"/" * 21, HOST, "target_too_long"),
        ("1.1", b"/", HOST + [(b"x", b"")] * 2, ""),
        ("1.1", b"/", HOST + [(b"x", b"")] * 3, "too_many_headers"),
        ("1.1", b"/", [*HOST, (b"x", b"y" * 68)], ""),
        ("1.1", b"/", [*HOST, (b"x", b"y" * 69)], "head_too_large"),
        ("1.1", b"/", [], "malformed_request"),
        ("1.1", b"/", HOST * 2, "malformed_request"),
        ("1.0", b"/", HOST * 2, "malformed_request"),
        ("0.9", b"/", HOST, "malformed_request"),
        ("2.0", b"/", HOST, "malformed_request"),
        ("1.1", b"*", HOST, "malformed_request"),
        ("1.1", b"http://h/", HOST, "malformed_request"),
        ("1.1", b"/", [*HOST, (b"transfer-encoding", b"gzip, chunked")], "malformed_request"),
        ("1.1", b"/", [*HOST, (b"transfer-encoding", b"")], "malformed_request"),
    ],
)
def test_objections(version: str, target: bytes, headers: list[tuple[bytes, bytes]], code: str) -> None:
    """A head at its limits passes, one beyond does not, and nor does one that two readers could read differently."""
    assert objection(Head(version, "GET", target, headers), SMALL) == code


def test_a_head_known_to_be_small_is_not_measured() -> None:
    """What came in fewer bytes than are allowed."""
    head = Head("1.1", "GET", b"/", [*HOST, (b"x", b"y" * 69)], at_most=100)
    assert objection(head, SMALL) == ""


def test_a_head_is_measured_as_it_is_written() -> None:
    """Line, headers and both ends."""
    written = b"POST /v1/x?y HTTP/1.1\r\nhost: h\r\nx-long: value\r\n\r\n"
    assert head_bytes("POST", b"/v1/x?y", [*HOST, (b"x-long", b"value")]) == len(written)


def test_framing() -> None:
    """What the head says about its body."""
    assert (announced(HOST), framing(HOST)) == (0, b"")
    assert framing([(b"content-length", b"0")]) == b""
    sized = [*HOST, (b"content-length", b"12")]
    assert (announced(sized), framing(sized)) == (12, b"content-length: 12\r\n")
    assert framing([(b"transfer-encoding", b"chunked")]) == b"transfer-encoding: chunked\r\n"
