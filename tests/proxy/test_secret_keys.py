"""Keys: private keys in every shape, web tokens, credentials over line ends; whole, however long."""

from __future__ import annotations

import base64
import json

import pytest

from proxy.redact import Redactor

KEYS = Redactor(("key",), {})
BEGIN, END = "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----"
LINES = [base64.b64encode(bytes(range(i, i + 48))).decode() for i in range(0, 150, 6)]
# A few characters short, as the last line is.
LINES.append("MIIE+a8=")
BODY = "\n".join(LINES)
PROSE = "please look at this file and tell me what is wrong with it "


@pytest.mark.parametrize(
    "block",
    [
        f"{BEGIN}\n{BODY}\n{END}",
        f"{BEGIN}\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n{BODY}\n{END}",
        f"{BEGIN}\r\n" + BODY.replace("\n", "\r\n") + f"\r\n{END}",
        f"{BEGIN} " + BODY.replace("\n", " ") + f" {END}",
        f"{BEGIN}{''.join(LINES)}{END}",
        "> " + f"{BEGIN}\n{BODY}\n{END}".replace("\n", "\n> "),
        json.dumps({"key": f"{BEGIN}\nProc-Type: 4,ENCRYPTED\n\n{BODY}\n{END}\n"}),
        json.dumps(json.dumps({"key": f"{BEGIN}\n{BODY}\n{END}\n"})),
        " +\n".join(f'    "{line}\\n"' for line in [BEGIN, *LINES, END]),
        "\n".join(f"{i}: {line}" for i, line in enumerate([BEGIN, *LINES, END])),
        f"{BEGIN}\n{BODY}",
        f"{BEGIN}\n{BODY}\n" + PROSE,
        f"{BEGIN}\nDEK-Info: AES-128-CBC,00\n\n{BODY}\n\n{PROSE}",
        f"{BEGIN}\n{BODY}\n-----END RSA PRIV",
        f"{BEGIN}\n{BODY}\n-----BEGIN CERTIFICATE-----",
        f"{BEGIN}\n{BODY}\n{END}".replace("RSA PRIVATE", "PRIVATE"),
        f"{BEGIN}\n{BODY}\n{END}".replace("RSA PRIVATE", "OPENSSH PRIVATE"),
        f"{BEGIN}\nVersion: 1\n\n{BODY}\n=aB3d\n{END}".replace("RSA PRIVATE KEY", "PGP PRIVATE KEY BLOCK"),
    ],
)
def test_no_line_of_a_private_key_stays(block: str) -> None:
    """Encrypted, quoted, escaped, numbered, in a program, cut short: behind any amount of prose, and before it."""
    for before in ("", PROSE, (PROSE * 300)[:15_800] + "\n"):
        redacted = KEYS(f"{before}{block}\n{PROSE}")
        assert redacted.startswith(before)
        assert "[key]" in redacted
        assert redacted.endswith(PROSE)
        assert not [line for line in LINES if line in redacted]
        assert len(redacted) < len(before) + 2 * len(PROSE) + 100


def test_a_key_of_any_length_goes_whole() -> None:
    """Lines by the thousand, and one line of a megabyte."""
    for body in ("\n".join(LINES * 1000), "".join(LINES) * 1000, "> " + "\n> ".join(LINES * 1000)):
        assert KEYS(f"{PROSE}{BEGIN}\n{body}\n{END} {PROSE}") == f"{PROSE}[key] {PROSE}"
        assert KEYS(f"{PROSE}{BEGIN}\n{body}\n\n{PROSE}") == f"{PROSE}[key]\n\n{PROSE}"


def test_what_only_speaks_of_a_private_key_stays() -> None:
    """Behind a BEGIN without a key nothing but the BEGIN goes; a certificate is no secret."""
    said = f"a file beginning with {BEGIN} is a key. {PROSE}"
    assert KEYS(said) == f"a file beginning with [key] is a key. {PROSE}"
    certificate = f"-----BEGIN CERTIFICATE-----\n{BODY}\n-----END CERTIFICATE-----"
    assert KEYS(certificate) == certificate
    assert KEYS(f"{BEGIN} no. {certificate}") == f"[key] no. {certificate}"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("eyJaaaaaaaa.bbbbbbbbb.cc-_9 x", "[key] x"),
        ("eyJaaaaaaaa.bbbbbbbbb. x", "[key] x"),
        ("a-eyJaaaaaaaa.bbbbbbbbb.c x", "a-[key] x"),
        ("eyJ" + "a" * 9000 + "." + "b" * 9000 + "." + "c" * 9000 + "!", "[key]!"),
        ("eyJaaaaaaaa.short.c", "eyJaaaaaaaa.short.c"),
        ("eyJaaaaaaaa-eyJaaaaaaaa", "eyJaaaaaaaa-eyJaaaaaaaa"),
        ("eyJaaaaaaaa.eyJbbbbbbbb!eyJcccccccc.ddddddddd.e", "eyJaaaaaaaa.eyJbbbbbbbb![key]"),
        ("eyJaaaaaaaa-sk-aaaaaaaaaaaaaaaaaaaa!", "eyJaaaaaaaa-[key]!"),
        ("xeyJaaaaaaaa.bbbbbbbbb.c", "xeyJaaaaaaaa.bbbbbbbbb.c"),
        ("Bearer\nabcdefghijklmnop", "[key]"),
        ("Basic" + " " * 9000 + "abcdefghijklmnop==, x", "[key], x"),
        ("Bearer   of news, Bearer abcdefghijklmnop", "Bearer   of news, [key]"),
        ("sk-" + "a" * 100_000 + " x", "[key] x"),
        ("ask-aaaaaaaaaaaaaaaaaaaa", "ask-aaaaaaaaaaaaaaaaaaaa"),
        ("ghp_" + "a1" * 15 + " hf_" + "b2" * 20, "[key] [key]"),
        ("github_pat_" + "a1" * 15 + ", glpat-" + "b2" * 10, "[key], [key]"),
        ("xoxb-1234567890-abc AIza" + "a" * 35, "[key] [key]"),
        ("AKIA" + "A" * 17, "AKIA" + "A" * 17),
    ],
)
def test_where_keys_begin_and_end(text: str, redacted: str) -> None:
    """From the prefix to the last character that belongs to it; what is too short or part of a word is none."""
    assert KEYS(text) == redacted
