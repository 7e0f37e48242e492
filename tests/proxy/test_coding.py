"""Content codings, damaged ones and bombs included."""

from __future__ import annotations

import gzip
import sys
import tracemalloc
import zlib
from types import SimpleNamespace

import pytest

from proxy.coding import BROTLI_SLICE, CodingError, _brotli_in_slices, decode_body

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


MIB = 2**20


def test_a_brotli_bomb_takes_little_more_than_the_limit() -> None:
    """128 MiB from a few hundred bytes take no more than the limit and a meta-block, with every release's interface."""
    library = pytest.importorskip("brotli", reason="no brotli library is installed")
    compressor = library.Compressor(quality=1)
    body = b"".join(compressor.process(bytes(MIB)) for _ in range(128)) + compressor.finish()
    tracemalloc.start()
    try:
        with pytest.raises(CodingError, match="too_large_decoded"):
            decode_body(body, b"br", MIB)
        with pytest.raises(CodingError, match="too_large_decoded"):
            _brotli_in_slices(library.Decompressor(), body, MIB)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 40 * MIB


def test_brotli() -> None:
    """A body is decoded whole up to the limit, in slices too; one cut short gives what it has, damage is told."""
    library = pytest.importorskip("brotli", reason="no brotli library is installed")
    body = library.compress(TEXT)
    assert decode_body(body, b"br", len(TEXT)) == TEXT
    assert _brotli_in_slices(library.Decompressor(), body, len(TEXT)) == TEXT
    assert TEXT.startswith(decode_body(body[:-3], b"br", len(TEXT)))
    with pytest.raises(CodingError, match="too_large_decoded"):
        decode_body(body, b"br", len(TEXT) - 1)
    with pytest.raises(CodingError, match="coding_damaged"):
        decode_body(b"no brotli at all", b"br", 10_000)


class Unlimited:
    """Decodes as brotli before 1.2 does, without a limit: here a thousand bytes from each."""

    taken = 0

    def process(self, data: bytes) -> bytes:
        """Take all."""
        Unlimited.taken += len(data)
        return bytes(1000 * len(data))


class Limited:
    """Decodes as brotli 1.2 does: little more than the limit."""

    def process(self, data: bytes, *, output_buffer_limit: int) -> bytes:
        """Take as much as it may."""
        return bytes(min(1000 * len(data), output_buffer_limit))


def test_where_brotli_knows_no_limit_little_is_given_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not the library that is installed here can, both interfaces stop at the limit."""
    for decompressor in (Unlimited, Limited):
        library = SimpleNamespace(Decompressor=decompressor, error=ArithmeticError)
        monkeypatch.setitem(sys.modules, "brotli", library)
        assert decode_body(bytes(10), b"br", 10_000) == bytes(10_000)
        with pytest.raises(CodingError, match="too_large_decoded"):
            decode_body(bytes(10_000), b"br", 10_000)
    # The ten bytes of before, ten that reach the limit, and the rest of a slice.
    assert Unlimited.taken <= 10 + 10 + BROTLI_SLICE
