"""The exchange: one request and its whole response, as served, without anything secret.

An exchange carries text and a few facts about how it was served. It never carries headers, credentials or raw
bodies: those stay in the proxy process. Field names equal the keys of a file of exchanges where both exist.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

SCHEMA_VERSION = 1


class Exchange(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One request and its whole response.

    `time` is the epoch second at which the request arrived. `response` is None where there is none to judge: a
    prompt-only history, an error answer, or an endpoint whose answer is not text (embeddings, audio).
    `complete` is False when the response was cut short by either side; such exchanges are counted, not scored.
    The proxy makes exchanges by position, which costs a fifth of making them by name: new fields go to the end.
    """

    id: str
    time: float
    prompt: str
    response: str | None = None
    route: str = "default"
    arm: str = "control"
    variant: str = ""
    model: str = ""
    endpoint: str = ""
    status: int = 200
    complete: bool = True
    finish_reason: str | None = None
    # The answer's declared refusal (the `refusal` field of the API), not a guess from its words.
    refused: bool = False
    # Reasoning text where the model exposes it; kept apart from the response and never scored with it.
    reasoning: str | None = None
    tool_calls: tuple[str, ...] = ()
    # Turns of the conversation before this prompt, and characters of everything the model was given.
    turns: int = 0
    context_chars: int = 0
    # Short hash of the system prompt, so that its change is visible without keeping it.
    system_id: str = ""
    prompt_tokens: int | None = None
    response_tokens: int | None = None
    latency_s: float | None = None
    ttft_s: float | None = None
    stream: bool = False
    # Short hash of whatever identifies the end user; the value itself is not kept.
    user: str | None = None
    # Machine-readable reason when the exchange failed (`status >= 400`, reset, malformed stream).
    error: str | None = None
    # Given by people or by another scorer, in files and feedback.
    reward: float | None = None
    label: str | None = None
    annotator: str | None = None
    # The label known to be right, and what was judged where several exchanges show the same thing.
    gold: str | None = None
    item: str | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Exchange])


def encode_exchanges(exchanges: Sequence[Exchange]) -> bytes:
    """Encode a batch for the bus (msgpack)."""
    return _encoder.encode(exchanges)


def decode_exchanges(payload: bytes) -> list[Exchange]:
    """Decode a batch from the bus.

    Unknown keys of a newer minor writer are ignored. Raises msgspec.DecodeError when the payload is damaged.
    """
    try:
        return _decoder.decode(payload)
    except UnicodeDecodeError as error:  # msgspec's own error stops at the text's bytes
        raise msgspec.DecodeError(f"a batch with damaged text: {error}") from error
