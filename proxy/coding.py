"""Content codings, undone for the mirror within a size limit.

Law: what cannot be decoded (unknown coding, damaged, larger than the limit) is an error with a reason, never a
guess, and none takes memory far beyond the limit. `br` and `zstd` are decoded where a library for them is installed. A
stream cut short gives what it has.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from typing import Any

# A brotli meta-block gives 16 MiB at most and takes 12 bytes at least (RFC 7932, section 9.2: its header, three prefix
# codes, a length), so that a slice ends one of them at most and goes at most 16 MiB beyond the limit.
BROTLI_SLICE = 8


class CodingError(ValueError):
    """A body that cannot be decoded; the message is a reason code."""


def decode_body(body: bytes, coding: bytes, limit: int) -> bytes:
    """Undo the codings named by a Content-Encoding value, the last first. Raises CodingError."""
    if not coding:
        return body
    for name in reversed(coding.lower().split(b",")):
        name = name.strip()  # noqa: PLW2901 - the same name, without its spaces
        if name and name != b"identity":
            decoder = _DECODERS.get(name)
            if decoder is None:
                raise CodingError("coding_unknown")
            body = decoder(body, limit)
    return body


def _inflate(window_bits: int) -> Callable[[bytes, int], bytes]:
    def decode(body: bytes, limit: int) -> bytes:
        inflater = zlib.decompressobj(window_bits)
        try:
            decoded = inflater.decompress(body, limit)
        except zlib.error:
            raise CodingError("coding_damaged") from None
        if inflater.unconsumed_tail:
            raise CodingError("too_large_decoded")
        return decoded

    return decode


def _deflate(body: bytes, limit: int) -> bytes:
    # RFC 9110 means zlib's format; some servers send raw deflate.
    try:
        return _inflate(zlib.MAX_WBITS)(body, limit)
    except CodingError as error:
        if str(error) != "coding_damaged":
            raise
        return _inflate(-zlib.MAX_WBITS)(body, limit)


def _optional(names: tuple[str, ...]) -> Any:
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise CodingError("coding_unknown")


def _brotli(body: bytes, limit: int) -> bytes:
    library = _optional(("brotli", "brotlicffi"))
    decompressor = library.Decompressor()
    try:
        try:
            decoded: bytes = decompressor.process(body, output_buffer_limit=limit + 1)
        except TypeError:  # before 1.2 the library has no such limit
            decoded = _brotli_in_slices(decompressor, body, limit)
    except library.error:
        raise CodingError("coding_damaged") from None
    return _within(decoded, limit)


def _brotli_in_slices(decompressor: Any, body: bytes, limit: int) -> bytes:
    parts, size = [], 0
    for at in range(0, len(body), BROTLI_SLICE):
        part = decompressor.process(body[at : at + BROTLI_SLICE])
        if part:
            parts.append(part)
            size += len(part)
            if size > limit:
                raise CodingError("too_large_decoded")
    return b"".join(parts)


def _zstd(body: bytes, limit: int) -> bytes:
    library = _optional(("compression.zstd", "backports.zstd"))
    try:
        decoded: bytes = library.ZstdDecompressor().decompress(body, limit + 1)
    except library.ZstdError:
        raise CodingError("coding_damaged") from None
    return _within(decoded, limit)


def _within(decoded: bytes, limit: int) -> bytes:
    if len(decoded) > limit:
        raise CodingError("too_large_decoded")
    return decoded


_DECODERS: dict[bytes, Callable[[bytes, int], bytes]] = {
    b"gzip": _inflate(zlib.MAX_WBITS | 16),
    b"x-gzip": _inflate(zlib.MAX_WBITS | 16),
    b"deflate": _deflate,
    b"br": _brotli,
    b"zstd": _zstd,
}
