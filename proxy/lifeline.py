"""What a parent tells a worker, over the worker's standard input: one specification, then new configurations.

Law: whole messages only, each behind its length (8 bytes, big-endian), so that a read may end anywhere. Nobody but
the parent can write to the pipe, which is why what comes may be unpickled. Its end says that the parent is gone.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

_LENGTH_BYTES = 8


def message(content: object) -> bytes:
    """Write a message."""
    data = pickle.dumps(content)
    return len(data).to_bytes(_LENGTH_BYTES, "big") + data


class Inbox:
    """Puts messages together from what is read."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> Iterator[Any]:
        """Take bytes and give out the messages that are complete now."""
        self._data += data
        while len(self._data) >= _LENGTH_BYTES:
            end = _LENGTH_BYTES + int.from_bytes(self._data[:_LENGTH_BYTES], "big")
            if len(self._data) < end:
                return
            whole, self._data = self._data[_LENGTH_BYTES:end], self._data[end:]
            yield pickle.loads(whole)  # noqa: S301 - from our own parent, see above


def first_message(read: Callable[[int], bytes]) -> Any:
    """Read the first message and no byte beyond it. Raises EOFError when the pipe ends before."""
    return pickle.loads(_exactly(read, int.from_bytes(_exactly(read, _LENGTH_BYTES), "big")))  # noqa: S301 - as above


def _exactly(read: Callable[[int], bytes], size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = read(size - len(data))
        if not part:
            raise EOFError("the parent is gone")
        data += part
    return data
