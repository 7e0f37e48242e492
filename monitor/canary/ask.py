"""Asking the model one fixed prompt, the way a client would: a chat completion through the proxy.

Law of this file: sockets only, one request at a time, no retry. The request says `Drift-Mirror: ?0`, so that canaries
never mix with what users asked. What comes back is an answer or one word that says why there is none.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

import msgspec

from monitor.contract.config import Secret
from monitor.contract.messages import content_text

_MOST_BYTES = 16 * 1024 * 1024
_ARM = re.compile(r';arm="?([^;"]+)')


class Question(NamedTuple):
    """A prompt for a model behind a base URL, and how it is asked; `max_tokens` 0 leaves the limit to the model."""

    to: str
    model: str
    prompt: str
    key: Secret | None
    temperature: float
    max_tokens: int
    timeout_s: float


class Reply(NamedTuple):
    """What the model said and what it counted; `failure` is one word where it said nothing that counts."""

    text: str = ""
    prompt_tokens: int = 0
    response_tokens: int = 0
    failure: str = ""


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Message(msgspec.Struct):
    content: Any = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message = msgspec.field(default_factory=_Message)


class _Completion(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None


class _NoRedirect(HTTPRedirectHandler):
    """A key goes where it was sent and nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        return None


# Straight to the proxy, whatever the environment says of others.
_opener = build_opener(ProxyHandler({}), _NoRedirect())


def ask(question: Question) -> Reply:
    """Ask once."""
    body: dict[str, Any] = {
        "model": question.model,
        "messages": [{"role": "user", "content": question.prompt}],
        "temperature": question.temperature,
    }
    if question.max_tokens:
        body["max_tokens"] = question.max_tokens
    headers = {"Content-Type": "application/json", "Drift-Mirror": "?0"}
    if question.key is not None:
        headers["Authorization"] = f"Bearer {question.key.reveal()}"
    url = f"{question.to.rstrip('/')}/chat/completions"
    request = Request(url, msgspec.json.encode(body), headers, method="POST")  # noqa: S310 - http, checked on loading
    try:
        with _opener.open(request, timeout=question.timeout_s) as answer:
            arm = _ARM.search(answer.headers.get("Drift-Status", ""))
            whole = answer.read(_MOST_BYTES)
    except HTTPError as error:
        with error:
            return Reply(failure=f"status_{error.code}")
    except TimeoutError:
        return Reply(failure="timeout")
    except (URLError, OSError, ValueError):
        return Reply(failure="unreachable")
    if arm is not None and arm[1] != "control":
        return Reply(failure="other_arm")
    return read_reply(whole)


def read_reply(body: bytes) -> Reply:
    """Read a chat completion."""
    try:
        completion = msgspec.json.decode(body, type=_Completion)
    except msgspec.MsgspecError:
        return Reply(failure="unreadable")
    if not completion.choices:
        return Reply(failure="no_choice")
    message, usage = completion.choices[0].message, completion.usage or _Usage()
    text = message.refusal or content_text(message.content)
    return Reply(text, usage.prompt_tokens, usage.completion_tokens)
