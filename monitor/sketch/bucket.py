"""The bucket: the sketches of one (route, arm) over one minute; a window is any merge of buckets.

Law: a bucket is a value. Merging is addition of one integer vector and the union of two bottom-k samples, so it is
associative and commutative and a window equals the fold of its exchanges at once. Buckets of different baselines do
not merge: their clusters and scores mean different things.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.sketch.layout import Layout, layout_for
from monitor.sketch.reservoir import Kept, smallest


class BucketKey(NamedTuple):
    """Whose minute it is; `minute` counts from the epoch."""

    route: str
    arm: str
    minute: int


class _Encoded(msgspec.Struct, frozen=True, array_like=True):
    baseline: str
    shape: tuple[int, int]
    vector: bytes
    sample: tuple[Kept, ...]
    novel: tuple[Kept, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Bucket:
    """Sums over exchanges (`vector`, see `layout`) and two samples: of all exchanges and of novel ones."""

    baseline: str
    shape: tuple[int, int]
    vector: NDArray[np.int64]
    sample: tuple[Kept, ...] = ()
    novel: tuple[Kept, ...] = ()

    @classmethod
    def empty(cls, baseline: str, shape: tuple[int, int]) -> Bucket:
        """Return the identity of `merge` for quantisers of these (prompt, response) sizes."""
        return cls(baseline, shape, np.zeros(layout_for(*shape).size, dtype=np.int64))

    @property
    def layout(self) -> Layout:
        """Places of the fields."""
        return layout_for(*self.shape)

    @property
    def n(self) -> int:
        """Exchanges in it."""
        return self.count("exchanges")

    @property
    def comparable(self) -> int:
        """Rewarded answers to prompts that the baseline had the like of."""
        return self.count("rewarded") - int(self.total("unsupported"))

    def count(self, name: str) -> int:
        """Return one of the plain counts."""
        return int(self.vector[self.layout.fields[name].start])

    def read(self, name: str) -> NDArray[np.float64]:
        """Return a field as float64."""
        return self.layout.read(self.vector, name)

    def total(self, name: str) -> float:
        """Return a field of one number."""
        return float(self.read(name)[0])

    def merge(self, other: Bucket) -> Bucket:
        """Return the bucket of both. Raises ValueError when they belong to different baselines."""
        if (self.baseline, self.shape) != (other.baseline, other.shape):
            raise ValueError(f"buckets of baselines {self.baseline} and {other.baseline} do not merge")
        return Bucket(
            self.baseline,
            self.shape,
            self.vector + other.vector,
            smallest((*self.sample, *other.sample)),
            smallest((*self.novel, *other.novel)),
        )

    def to_bytes(self) -> bytes:
        """Encode for the store (about 3 kB)."""
        packed = zlib.compress(self.vector.astype("<i8").tobytes(), 1)
        return msgspec.msgpack.encode(_Encoded(self.baseline, self.shape, packed, self.sample, self.novel))

    @classmethod
    def from_bytes(cls, data: bytes) -> Bucket:
        """Decode. Raises ValueError when the data are damaged."""
        try:
            encoded = msgspec.msgpack.decode(data, type=_Encoded)
            vector = np.frombuffer(zlib.decompress(encoded.vector), dtype="<i8").astype(np.int64)
        except (msgspec.MsgspecError, zlib.error) as error:
            raise ValueError(f"damaged bucket: {error}") from None
        if len(vector) != layout_for(*encoded.shape).size:
            raise ValueError(f"damaged bucket: {len(vector)} numbers for clusters {encoded.shape}")
        return cls(encoded.baseline, encoded.shape, vector, encoded.sample, encoded.novel)
