"""Scored exchanges as bytes, and several of them as one.

Embeddings keep their 32 bits, so that a baseline learnt from stored rows equals one learnt from the same rows fresh.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.contract import Exchange
from monitor.sketch.scored import Scored


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    exchanges: list[Exchange]
    prompt: bytes
    response: bytes
    reward: bytes
    errors: dict[int, str]


def pack(scored: Scored) -> bytes:
    """Encode n scored exchanges."""
    packed = _Packed(
        exchanges=list(scored.exchanges),
        prompt=_bytes(scored.prompt),
        response=_bytes(scored.response),
        reward=_bytes(scored.reward),
        errors=scored.errors,
    )
    return msgspec.msgpack.encode(packed)


def unpack(body: bytes) -> Scored:
    """Decode. Raises ValueError when the bytes are damaged."""
    try:
        packed = msgspec.msgpack.decode(body, type=_Packed)
        n = len(packed.exchanges)
        prompt, response = _matrix(packed.prompt, n), _matrix(packed.response, n)
    except (msgspec.DecodeError, ValueError) as error:
        raise ValueError(f"damaged scored exchanges: {error}") from error
    return Scored(packed.exchanges, prompt, response, _matrix(packed.reward, n)[:, 0], packed.errors)


def _bytes(matrix: NDArray[np.float32]) -> bytes:
    return np.ascontiguousarray(matrix, dtype="<f4").tobytes()


def _matrix(data: bytes, rows: int) -> NDArray[np.float32]:
    return np.frombuffer(data, dtype="<f4").astype(np.float32).reshape(rows, -1)


def joined(parts: Sequence[Scored]) -> Scored:
    """Return the rows of all parts, in order (one part at least)."""
    errors, start = {}, 0
    for part in parts:
        errors.update({start + row: why for row, why in part.errors.items()})
        start += len(part.exchanges)
    exchanges = [exchange for part in parts for exchange in part.exchanges]
    prompt, response, reward = (np.concatenate([part[i] for part in parts]) for i in (1, 2, 3))
    return Scored(exchanges, prompt, response, reward, errors)
