"""What the stand-in says, in OpenAI's shapes: request bytes and an answer in, response bytes out.

Law of this file: pure. Shapes follow the OpenAI API reference (chat completions, their streams, embeddings, models,
errors). Every answer is labelled: `system_fingerprint` and `model` say that a stand-in spoke.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from monitor.contract.messages import content_text, read_conversation

MODEL = "driftgate-stand-in"
FINGERPRINT = "fp_stand_in"
_DIMENSIONS = 16
_WORDS_A_CHUNK = 8


class Answer(NamedTuple):
    """What a stand-in says to a prompt, and after how many seconds."""

    text: str
    finish_reason: str = "stop"
    delay_s: float = 0.0


# From a prompt to its answer; None where the stand-in knows none.
Answers = Callable[[str], Answer | None]


class Reply(NamedTuple):
    """A response: one body, or the parts of an event stream."""

    status: int
    body: bytes = b""
    parts: tuple[bytes, ...] = ()
    delay_s: float = 0.0


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _Request(msgspec.Struct):
    """What the stand-in reads of any request."""

    messages: list[Any] = []
    prompt: Any = ""
    input: Any = ""
    stream: bool | None = False
    stream_options: _StreamOptions | None = None


_decode = msgspec.json.Decoder(_Request).decode
_encode = msgspec.json.Encoder().encode


def reply(method: str, path: str, body: bytes, answers: Answers, number: int) -> Reply:
    """Answer a request, the `number`th of this stand-in."""
    endpoint = path.partition("?")[0].removeprefix("/v1")
    if method == "GET" and endpoint == "/models":
        return Reply(200, _encode({"object": "list", "data": [_model()]}))
    if method == "GET" and endpoint.startswith("/models/"):
        return Reply(200, _encode(_model()))
    handler = _HANDLERS.get(endpoint) if method == "POST" else None
    if handler is None:
        return refusal(404, f"The stand-in does not serve {method} {path}.", "unknown_url")
    try:
        request = _decode(body)
    except msgspec.MsgspecError as error:
        return refusal(400, f"The stand-in cannot read the body: {error}.", "invalid_json")
    return handler(request, answers, number)


def refusal(status: int, message: str, code: str) -> Reply:
    """Answer with an error in OpenAI's shape."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return Reply(status, _encode({"error": {"message": message, "type": kind, "param": None, "code": code}}))


def _model() -> dict[str, Any]:
    return {"id": MODEL, "object": "model", "created": 0, "owned_by": MODEL}


def _chat(request: _Request, answers: Answers, number: int) -> Reply:
    prompt = read_conversation(request.messages).prompt
    answer = answers(prompt)
    if answer is None:
        return refusal(404, "The stand-in has no recorded answer to this prompt.", "no_recorded_answer")
    if request.stream:
        return Reply(200, parts=tuple(_events(request, prompt, answer, number)), delay_s=answer.delay_s)
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": answer.text, "refusal": None},
        "logprobs": None,
        "finish_reason": answer.finish_reason,
    }
    whole = {
        **_head("chat.completion", "chatcmpl", number),
        "choices": [choice],
        "usage": _usage(prompt, answer.text),
    }
    return Reply(200, _encode(whole), delay_s=answer.delay_s)


def _events(request: _Request, prompt: str, answer: Answer, number: int) -> Iterator[bytes]:
    head = _head("chat.completion.chunk", "chatcmpl", number)

    def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return b"data: " + _encode({**head, "choices": [choice]}) + b"\n\n"

    yield event({"role": "assistant", "content": ""})
    words = answer.text.split(" ")
    for at in range(0, len(words), _WORDS_A_CHUNK):
        text = " ".join(words[at : at + _WORDS_A_CHUNK])
        yield event({"content": text if at == 0 else f" {text}"})
    yield event({}, answer.finish_reason)
    if request.stream_options and request.stream_options.include_usage:
        yield b"data: " + _encode({**head, "choices": [], "usage": _usage(prompt, answer.text)}) + b"\n\n"
    yield b"data: [DONE]\n\n"


def _completion(request: _Request, answers: Answers, number: int) -> Reply:
    prompt = request.prompt if isinstance(request.prompt, str) else content_text(request.prompt)
    answer = answers(prompt)
    if answer is None:
        return refusal(404, "The stand-in has no recorded answer to this prompt.", "no_recorded_answer")
    choice = {"index": 0, "text": answer.text, "logprobs": None, "finish_reason": answer.finish_reason}
    whole = {
        **_head("text_completion", "cmpl", number),
        "choices": [choice],
        "usage": _usage(prompt, answer.text),
    }
    return Reply(200, _encode(whole), delay_s=answer.delay_s)


def _embeddings(request: _Request, _answers: Answers, _number: int) -> Reply:
    texts = [request.input] if isinstance(request.input, str) else list(request.input)
    data = [
        {
            "object": "embedding",
            "index": i,
            "embedding": _vector(text if isinstance(text, str) else str(text)),
        }
        for i, text in enumerate(texts)
    ]
    tokens = sum(len(str(text).split()) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return Reply(200, _encode({"object": "list", "data": data, "model": MODEL, "usage": usage}))


def _vector(text: str) -> list[float]:
    """Return a unit vector that depends on the text alone and means nothing."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIMENSIONS).digest()
    raw = [byte - 127.5 for byte in digest]
    length = math.sqrt(sum(x * x for x in raw))
    return [x / length for x in raw]


def _head(kind: str, prefix: str, number: int) -> dict[str, Any]:
    return {
        "id": f"{prefix}-standin{number}",
        "object": kind,
        "created": 0,
        "model": MODEL,
        "system_fingerprint": FINGERPRINT,
    }


def _usage(prompt: str, text: str) -> dict[str, int]:
    """Count words for tokens."""
    asked, said = len(prompt.split()), len(text.split())
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


_HANDLERS: dict[str, Callable[[_Request, Answers, int], Reply]] = {
    "/chat/completions": _chat,
    "/completions": _completion,
    "/embeddings": _embeddings,
}
