"""The static embedding: a text is the unit-length sum of its pieces' rows.

Law of this file: numpy alone. Rows are stored as int8 with one scale a row and expanded when loaded. A text's row
depends on that text alone, never on the batch; a text without pieces (blank) is a zero row.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .safetensors_file import content_hash, read_safetensors
from .wordpiece import WordPieces

# Pieces summed at once; it bounds the gather buffer to a few megabytes.
_AT_ONCE = 2_048


class StaticEmbedder:
    """Texts -> float32 (n, dim), unit rows."""

    def __init__(self, rows: NDArray[np.float32], reader: WordPieces, identity: str) -> None:
        """Take float32 (pieces, dim) and what splits a text into these pieces."""
        self.rows = np.ascontiguousarray(rows, dtype=np.float32)
        self.dim = int(rows.shape[1])
        self.identity = identity
        self._reader = reader
        self._buffer = np.empty((_AT_ONCE, self.dim), dtype=np.float32)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed each text by itself."""
        out = np.zeros((len(texts), self.dim), dtype=np.float32)
        for index, text in enumerate(texts):
            ids = self._reader.encode(text)
            for start in range(0, len(ids), _AT_ONCE):
                out[index] += self._sum(ids[start : start + _AT_ONCE])
        norms = np.sqrt(np.einsum("ij,ij->i", out, out))
        np.divide(out, norms[:, None], out=out, where=norms[:, None] > 0)
        return out

    def _sum(self, ids: NDArray[np.int32]) -> NDArray[np.float32]:
        gathered = self._buffer[: len(ids)]
        # `clip` lets take() write straight into the buffer; ids are always in range.
        self.rows.take(ids, axis=0, out=gathered, mode="clip")
        # Not a matrix product: a BLAS library would wake its threads for every text.
        total: NDArray[np.float32] = np.add.reduce(gathered, axis=0)
        return total


def load_reader(folder: Path) -> WordPieces:
    """Load `vocabulary.txt`. Raises OSError."""
    return WordPieces((folder / "vocabulary.txt").read_text(encoding="utf-8").split("\n")[:-1])


def load_static(folder: Path, reader: WordPieces) -> StaticEmbedder:
    """Load `embedding.safetensors`, rows for the reader's pieces. Raises OSError or ValueError naming what is wrong."""
    path = folder / "embedding.safetensors"
    tensors, _ = read_safetensors(path)
    if set(tensors) != {"rows", "scales"} or len(tensors["rows"]) != reader.size:
        raise ValueError(
            f"{path}: expected `rows` and `scales` for the {reader.size} pieces of vocabulary.txt"
        )
    rows = tensors["rows"].astype(np.float32) * tensors["scales"].astype(np.float32)[:, None]
    identity = f"static-{rows.shape[1]}:{content_hash(path, folder / 'vocabulary.txt')}"
    return StaticEmbedder(rows, reader, identity)
