"""Reading a safetensors file with numpy alone.

Law of this file: read only. NVIDIA's container has numpy and nothing else that we could count on, and the format is
eight bytes of length, a JSON header and raw little-endian arrays (https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DTYPES = {"I8": "<i1", "I32": "<i4", "F16": "<f2", "F32": "<f4", "F64": "<f8"}


def read_safetensors(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return the tensors by name and the file's metadata. Raises OSError, or ValueError when it is damaged."""
    raw = path.read_bytes()
    try:
        start = 8 + int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8:start])
        metadata = header.pop("__metadata__", {})
        tensors = {name: _tensor(raw, start, entry) for name, entry in header.items()}
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{path}: is not a whole safetensors file ({error})") from None
    return tensors, metadata


def _tensor(raw: bytes, start: int, entry: dict[str, Any]) -> NDArray[Any]:
    begin, end = entry["data_offsets"]
    return np.frombuffer(raw[start + begin : start + end], dtype=_DTYPES[entry["dtype"]]).reshape(
        entry["shape"]
    )


def content_hash(*paths: Path) -> str:
    """Return 12 hexadecimal digits that change with any byte of these files."""
    digest = hashlib.blake2b(digest_size=6)
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()
