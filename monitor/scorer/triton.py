"""Scoring by a Triton server over gRPC.

Law of this file: every answer of the server becomes scores, an exchange's error, or `ScorerUnavailable`; no other
exception leaves. A refused request is halved until the refused exchange stands alone; what cannot be blamed on an
exchange (no connection, deadline, model absent or dead) is the server's fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tritonclient import grpc as triton
from tritonclient.utils import InferenceServerException

from monitor.scorer import ScorerUnavailable, Scores

MODEL = "exchange_scorer"
# Bytes of text in one request; Triton and gRPC hold several copies of it.
REQUEST_BYTES = 8 * 1024 * 1024
# Codes that may be the fault of the exchanges sent; every other one is the server's.
_BLAMES_REQUEST = frozenset({"INVALID_ARGUMENT", "INTERNAL"})
_CHANNEL = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A server that was restarted is found again within a second, not after minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]


class _Part(NamedTuple):
    prompt: NDArray[np.float32]
    response: NDArray[np.float32]
    reward: NDArray[np.float32]


class _Refused(RuntimeError):
    """The server refused this request; perhaps because of what it holds."""


class TritonScorer:
    """Asks `exchange_scorer` of the server at `url` (HOST:PORT of its gRPC service)."""

    def __init__(self, url: str, deadline_s: float = 30.0, batch: int = 256) -> None:
        """Take the deadline of one request in seconds and the most exchanges in it. Connects on first use."""
        self._url = url
        self._deadline_s = deadline_s
        self._batch = batch
        self._client = triton.InferenceServerClient(url, channel_args=_CHANNEL)
        self._identity = ""
        self._dim = 0

    @property
    def identity(self) -> str:
        """Name and content hash of the models that the server ran last. Raises ScorerUnavailable."""
        if not self._identity:
            self._probe()
        return self._identity

    def score(self, prompts: Sequence[str], responses: Sequence[str | None]) -> Scores:
        """Score n exchanges. Raises ScorerUnavailable; then nothing was scored."""
        if not self._dim:
            self._probe()
        n, before = len(prompts), self._identity
        scores = Scores(
            np.zeros((n, self._dim), np.float32),
            np.zeros((n, self._dim), np.float32),
            np.full(n, np.nan, np.float32),
            {},
        )
        asked = [_encode(text) for text in prompts]
        said = [None if text is None else _encode(text) for text in responses]
        for rows in split_rows(
            [len(p) + len(r or b"") for p, r in zip(asked, said, strict=True)], self._batch
        ):
            self._fill(scores, asked, said, rows)
        if self._identity != before:
            raise ScorerUnavailable(
                f"{self._url}: the models changed from {before} to {self._identity} meanwhile"
            )
        return scores

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _fill(
        self, scores: Scores, asked: Sequence[bytes], said: Sequence[bytes | None], rows: range
    ) -> None:
        """Score these rows into `scores`, halving what is refused."""
        try:
            part = self._infer(asked[rows.start : rows.stop], said[rows.start : rows.stop])
        except _Refused as refusal:
            if len(rows) == 1:
                self._probe()  # a server that refuses everything is unavailable, and no exchange is to blame
                scores.errors[rows.start] = str(refusal)
                return
            middle = rows.start + len(rows) // 2
            self._fill(scores, asked, said, range(rows.start, middle))
            self._fill(scores, asked, said, range(middle, rows.stop))
            return
        scores.prompt[rows.start : rows.stop] = part.prompt
        scores.response[rows.start : rows.stop] = part.response
        scores.reward[rows.start : rows.stop] = part.reward

    def _probe(self) -> None:
        """Learn identity and dimension from one empty exchange."""
        try:
            self._infer([b""], [None])
        except _Refused as refusal:
            raise ScorerUnavailable(f"{self._url}: {MODEL} refuses every request: {refusal}") from None

    def _infer(self, asked: Sequence[bytes], said: Sequence[bytes | None]) -> _Part:
        try:
            result = self._client.infer(
                MODEL, _inputs(asked, said), outputs=_OUTPUTS, client_timeout=self._deadline_s
            )
        except InferenceServerException as error:
            code, message = str(error.status()).removeprefix("StatusCode."), str(error.message())
            if code in _BLAMES_REQUEST:
                raise _Refused(message) from None
            raise ScorerUnavailable(f"Triton at {self._url}: {message or code}") from error
        self._identity = bytes(result.as_numpy("IDENTITY").ravel()[0]).decode()
        prompt = result.as_numpy("PROMPT_EMBEDDING")
        self._dim = prompt.shape[1]
        return _Part(prompt, result.as_numpy("RESPONSE_EMBEDDING"), result.as_numpy("REWARD")[:, 0])


_OUTPUTS = [
    triton.InferRequestedOutput(name)
    for name in ("PROMPT_EMBEDDING", "RESPONSE_EMBEDDING", "REWARD", "IDENTITY")
]


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _inputs(asked: Sequence[bytes], said: Sequence[bytes | None]) -> list[Any]:
    columns = [
        ("PROMPT", "BYTES", np.array(asked, dtype=np.object_)),
        ("RESPONSE", "BYTES", np.array([text or b"" for text in said], dtype=np.object_)),
        ("HAS_RESPONSE", "BOOL", np.array([text is not None for text in said])),
    ]
    inputs = []
    for name, kind, column in columns:
        tensor = triton.InferInput(name, [len(column), 1], kind)
        tensor.set_data_from_numpy(column.reshape(-1, 1))
        inputs.append(tensor)
    return inputs


def split_rows(sizes: Sequence[int], most: int, most_bytes: int = REQUEST_BYTES) -> Iterator[range]:
    """Split rows of these sizes into runs of at most `most` rows and, where one row allows it, `most_bytes`."""
    start, held = 0, 0
    for row, size in enumerate(sizes):
        if row > start and (row - start == most or held + size > most_bytes):
            yield range(start, row)
            start, held = row, 0
        held += size
    if start < len(sizes):
        yield range(start, len(sizes))
