"""Event streams, whatever their line ends and splits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.sse import event_data, looks_like_events


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_line_ends_are_equal(newline: bytes) -> None:
    """LF, CRLF and CR give the same events; comments, names and a byte order mark are passed over."""
    lines = [
        b"\xef\xbb\xbfevent: a",
        b"data: one",
        b"",
        b": ping",
        b"",
        b"data:two",
        b"data: more",
        b"id: 1",
        b"",
        b"",
    ]
    assert list(event_data(newline.join(lines))) == [b"one", b"two\nmore"]


def test_a_cut_off_event_is_given_out() -> None:
    """A missing last blank line loses nothing."""
    assert list(event_data(b"data: [DONE]")) == [b"[DONE]"]


@given(st.lists(st.binary(min_size=1).filter(lambda data: not set(data) & set(b"\r\n")), max_size=8))
def test_data_survives_the_round_trip(events: list[bytes]) -> None:
    """Whatever has no line end comes out as it went in."""
    stream = b"".join(b"data: " + data + b"\n\n" for data in events)
    assert list(event_data(stream)) == events


@given(st.binary())
def test_any_bytes_are_read(stream: bytes) -> None:
    """No bytes make the reader fail."""
    list(event_data(stream))


@pytest.mark.parametrize(
    ("body", "events"), [(b"data: x", True), (b": ping", True), (b'{"data": 1}', False), (b"", False)]
)
def test_recognising_streams(body: bytes, events: bool) -> None:  # noqa: FBT001 - a table of cases
    """The first bytes tell a stream from JSON."""
    assert looks_like_events(body) is events
