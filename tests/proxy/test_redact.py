"""Redaction: what must go, what must stay, and that long texts change nothing."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.finding import WINDOW
from proxy.redact import Redactor, luhn
from tests.proxy.test_finding import HOSTILE

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
        ("4111 1111 1111 1111 12/26", "[card] 12/26"),
        ("4111 1111 1111 1111 123", "[card] 123"),
        ("4111111111111111 737", "[card] 737"),
        ("qty 5 4111 1111 1111 1111", "qty 5 [card]"),
        ("3 x 2 5500-0000-0000-0004 12 26", "3 x 2 [card] 12 26"),
        ("3782 822463 10005 1234", "[card] 1234"),
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


PROSE = "it was a bright cold day in April, and the clocks were striking "
SECRETS = {
    "key": [
        KEY,
        "Bearer\nabcdefghijklmnop1234",
        "Basic   " + "YWxhZGRpbjpvcGVu" * 20,
        "eyJhbGciOiJI." + "eyJzdWIiOiIx" * 100 + ".c2lnbmF0dXJl",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n"
        + ("MIIB" * 16 + "\n") * 30
        + "-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\n" + ("MIIB" * 16 + "\n") * 400 + "-----END PRIVATE KEY-----",
        "AKIA" + "ABCDEFGHIJKLMNOP",
    ],
    "email": ["jane.doe+x@mail.example.co.uk", "x" * 64 + "@" + "mail." * 40 + "example.org"],
    "card": ["4111 1111 1111 1111", "5500-0000-0000-0004"],
    "phone": ["+49 30 1234567", "(555) 123-4567", "555-123-4567", "0171 2345678"],
    "order": ["ORD-12345678", "ORD-" + "1" * 20_000],
}
KINDS = [(kind, secret) for kind, secrets in SECRETS.items() for secret in secrets]
OWN = Redactor(("email", "phone", "card", "key"), {"order": r"\bORD-\d{8,}"})


@given(
    st.sampled_from(KINDS),
    st.sampled_from([PROSE, "word ", "\n", "é", "aé我, ", "x"]),
    st.integers(0, 3) | st.integers(4, 80),
    st.integers(-1300, 100),
    st.sampled_from([0, 1, 100, 30_000]),
)
def test_nothing_is_lost_wherever_it_lies(
    kind: tuple[str, str], filler: str, windows: int, beside: int, behind: int
) -> None:
    """Before, across and behind every place where a search ends, in texts of every length, a secret goes whole."""
    name, secret = kind
    offset = max(0, (windows % 20) * WINDOW + beside)
    before, after = (filler * (length // len(filler) + 1) for length in (offset, behind))
    before, after = before[:offset] + " ", " ;" + after[:behind]
    assert OWN(before + secret + after) == f"{before}[{name}]{after}"


@given(st.lists(st.sampled_from(HOSTILE), max_size=40), st.sampled_from(KINDS), st.integers(0, 2 * WINDOW))
def test_nothing_is_lost_behind_hostile_text(words: list[str], kind: tuple[str, str], offset: int) -> None:
    """Whatever else looks like half a secret, a whole one between lines goes."""
    text = ("".join(words) * (WINDOW // 20))[:offset]
    name, secret = kind
    assert OWN(f"{text}\n; ;\n{secret}\n;").endswith(f"; ;\n[{name}]\n;")


# Each repeated makes a text that some rule would have to look at again and again.
UNITS = [
    *(
        "-eyJaaaaaaaa",
        "eyJaaaaaaaa.",
        "eyJaaaaaaaa.aaaaaaaaa ",
        "eyJ",
        "J",
        "-",
        "_",
        "sk-",
        "sk-a ",
        "hf_a",
        "AKIA",
    ),
    *(
        "sk-aaaaaaaaaaaaaaa ",
        "Bearer ",
        "Bearer          ",
        "basic aaaaaaaaaaaaaaa ",
        "ghp_" + "a" * 29 + " ",
    ),
    *(
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY PRIVATE KEY ",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN" + " A" * 20,
    ),
    *("-----BEGIN PRIVATE KEY----- no ", "-----BEGIN PRIVATE KEY-----\nA: b\n", "-----END PRIVATE KEY-----"),
    *("@", "a@b", "a@a.", "a@" + "a." * 100 + " ", "a" * 64 + "@ ", "a@a-" + "a" * 60, "%", "."),
    *(
        "+1",
        "+",
        "+1 1 1 1 1 1 1 ",
        "+123456789012345x ",
        "+1" + "  1" * 14 + "x ",
        "(",
        "(12)",
        "(12345)1234-12345x ",
    ),
    *(
        "1",
        "2 ",
        "2-" + "3" * 25 + " ",
        "2" * 19 + "x",
        "0123 ",
        "01 1111111111111111x ",
        "0111-11 11 11 11 11 1x ",
    ),
    *(
        "01111 11111111111111111x,",
        "555-123-456x ",
        "4444 ",
        "1......",
        "1......x",
        "1" + "." * 43 + "x",
        " ",
        "\n",
        "a",
        "é",
    ),
]


def seconds(text: str) -> float:
    """Return the processor time that redacting takes, the lesser of two."""
    taken = []
    for _ in range(2):
        began = time.process_time()
        ALL(text)
        taken.append(time.process_time() - began)
    return min(taken)


@pytest.mark.parametrize(
    "before", ["", "1234567890 a@b sk-", "-----BEGIN PRIVATE KEY-----", "eyJaaaaaaaa.", "Bearer "]
)
def test_the_time_is_linear(before: str) -> None:
    """Eight times the text takes eight times as long, not 64 times, whatever the text; a megabyte is no second."""
    for unit in UNITS:
        short, long = (before + unit * (length // len(unit)) for length in (20_000, 160_000))
        taken = seconds(long)
        assert taken < 24 * max(seconds(short), 0.001), unit
        # Ten times as much as was measured.
        assert taken < 0.3, unit


def test_two_numbers_beside_each_other_change_nothing() -> None:
    """Whether a number is taken for a phone's does not depend on what else is in the text."""
    assert ALL("in 01/2024 we sold 12345678") == "in 01/2024 we sold 12345678"


def test_your_own_patterns_in_long_texts() -> None:
    """Matches of 4,096 characters are found anywhere, those that can only grow at any length; empty ones are nothing."""
    redact = Redactor((), {"s": r"<s>[^<]*</s>", "d": r"D\d+", "e": r"(?=e)"})
    for offset in range(12_000, 17_000, 500):
        before = ("word " * 4000)[:offset]
        assert redact(f"{before}<s>{'a' * 4089}</s>D{'1' * 40_000}e") == f"{before}[s][d]e"


def test_luhn() -> None:
    """The checksum of a known number."""
    assert luhn("79927398713")
    assert not luhn("79927398710")
