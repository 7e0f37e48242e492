"""Content codings, damaged ones and bombs included."""

from __future__ import annotations

import gzip
import zlib

import pytest

from proxy.coding import CodingError, decode_body

TEXT = b"some text " * 100


def raw_deflate(data: bytes) -> bytes:
    """Compress without zlib's header."""
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(data) + deflater.flush()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (b"", TEXT),
        (b"identity", TEXT),
        (b"GZIP", gzip.compress(TEXT)),
        (b"deflate", zlib.compress(TEXT)),
        (b"deflate", raw_deflate(TEXT)),
        (b"deflate, gzip", gzip.compress(zlib.compress(TEXT))),
    ],
)
def test_decoding(coding: bytes, body: bytes) -> None:
    """Each coding, and two on top of each other, give the text back."""
    assert decode_body(body, coding, 10_000) == TEXT


def test_a_stream_cut_short_gives_what_it_has() -> None:
    """Half of a compressed body is half of the text, not an error."""
    found = decode_body(gzip.compress(TEXT)[:-10], b"gzip", 10_000)
    assert TEXT.startswith(found)


@pytest.mark.parametrize(
    ("coding", "body", "reason"),
    [
        (b"gzip", b"no gzip", "coding_damaged"),
        (b"gzip", gzip.compress(b"x" * 100_000), "too_large_decoded"),
        (b"snappy", b"", "coding_unknown"),
    ],
)
def test_refusals(coding: bytes, body: bytes, reason: str) -> None:
    """Damage, bombs and unknown codings are told apart."""
    with pytest.raises(CodingError, match=reason):
        decode_body(body, coding, 10_000)
