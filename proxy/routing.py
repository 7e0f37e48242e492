"""Routing: which variant serves a request, decided from its model name.

Law: pure. With one catch-all route that rewrites nothing, no body is ever looked into. Otherwise the `model` of a
JSON body decides; a body without one (a GET, an upload) goes to the first route that matches the empty name, else
to the first route. A WebSocket has no body when its route is chosen: the query's `model` stands for it. A model
rewrite changes the bytes of that one string and no other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import islice
from typing import NamedTuple
from urllib.parse import quote, unquote_plus

import msgspec

from monitor.contract.config import Config, Route, Variant
from proxy.endpoints.shape import UNREADABLE
from proxy.transport import Upstream, parse_upstream

# A JSON body is held back at most this far to find its model name, in bytes.
PEEK_LIMIT = 64 * 1024 * 1024


class Choice(NamedTuple):
    """Where a request goes and under which names it is counted."""

    route: str
    arm: str
    variant: str
    provider: str
    upstream: Upstream
    # Sent instead of the client's model; empty: unchanged.
    model: str
    # The whole Authorization value to send instead of the client's; None: the client's passes.
    authorization: bytes | None


class Router(NamedTuple):
    """The routes in order, each with its pattern."""

    choices: tuple[tuple[str, Choice], ...]
    # The choice for every request when no body needs to be looked into.
    only: Choice | None

    def choose(self, model: str) -> Choice | None:
        """Return the first route whose pattern matches, None when there is none."""
        for pattern, choice in self.choices:
            if fnmatchcase(model, pattern):
                return choice
        return self.choices[0][1] if not model else None


def build_router(config: Config) -> Router:
    """Prepare the configured routes."""
    choices = tuple((route.match, _choice(route, config)) for route in config.routes)
    pattern, first = choices[0]
    alone = pattern == "*" and not first.model
    return Router(choices, first if alone else None)


def _choice(route: Route, config: Config) -> Choice:
    variant = route.variant
    key = variant.api_key
    return Choice(
        route.name,
        "control",
        variant.name,
        variant.provider,
        _upstream(variant, config),
        variant.model,
        None if key is None else b"Bearer " + key.reveal().encode(),
    )


def _upstream(variant: Variant, config: Config) -> Upstream:
    if variant.provider == "litellm" and not variant.upstream:
        return Upstream("", b"")  # litellm knows where its providers live
    return parse_upstream(variant.upstream or config.proxy.upstream)


def arms(router: Router) -> Sequence[tuple[str, str]]:
    """List the (route, arm) pairs that this router can choose."""
    return [(choice.route, choice.arm) for _, choice in router.choices]


class _Model(msgspec.Struct):
    model: object = None


_model = msgspec.json.Decoder(_Model)


def model_of(body: bytes) -> str:
    """Return the `model` of a JSON body; empty when there is none or the body is no JSON."""
    try:
        found = _model.decode(body).model
    except UNREADABLE:
        return ""
    return found if isinstance(found, str) else ""


class _ModelAsWritten(msgspec.Struct):
    model: msgspec.Raw = msgspec.Raw()


_model_as_written = msgspec.json.Decoder(_ModelAsWritten)
# Places of the model that are tried before its body is walked.
_TRIED = 4
# A JSON string, a bracket or anything else worth a stop while walking the top level.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]')


def with_model(body: bytes, model: str) -> bytes:
    """Replace the top-level `model` string of a JSON object; every other byte stays.

    The last of several `model` keys counts, as it does for JSON readers. A body without one is returned as it is.
    """
    written = json.dumps(model).encode()
    try:
        found = bytes(_model_as_written.decode(body).model)
    except UNREADABLE:
        return _walked(body, written)
    if not found.startswith(b'"') or found == written:
        return body
    places = re.finditer(rb'"model"\s*:\s*(' + re.escape(found) + b")", body)
    for place in islice(places, _TRIED):
        changed = body[: place.start(1)] + written + body[place.end(1) :]
        if bytes(_model_as_written.decode(changed).model) == written:
            return changed
    return _walked(body, written)


def _walked(body: bytes, written: bytes) -> bytes:
    """Do it token by token: slow, for bodies that are no proper JSON or name models in many places."""
    depth, key, span = 0, b"", None
    for token in _TOKEN.finditer(body):
        text = token[0]
        if text in (b"{", b"["):
            depth += 1
        elif text in (b"}", b"]"):
            depth -= 1
        elif depth == 1:
            if _is_key(body, token.end()):
                key = text
            elif _names_model(key):
                span, key = token.span(), b""
            else:
                key = b""
    if span is None:
        return body
    return body[: span[0]] + written + body[span[1] :]


def _is_key(body: bytes, end: int) -> bool:
    return body[end : end + 64].lstrip().startswith(b":")


def _names_model(key: bytes) -> bool:
    # An escaped spelling ("mod\u0065l") names the same key.
    if b"\\" not in key:
        return key == b'"model"'
    try:
        return bool(msgspec.json.decode(key) == "model")
    except UNREADABLE:
        return False


# The query's parameter `model`, of which the last counts as in a body. Its name may be escaped, as anything may.
_PARAMETER = re.compile(rb"(?<=[?&])([^=&#]+)=([^&#]*)")


def model_in_query(target: bytes) -> str:
    """Return the `model` of a request target's query; empty when there is none."""
    found = _parameter(target)
    return "" if found is None else unquote_plus(found[2].decode("latin-1"))


def with_model_in_query(target: bytes, model: str) -> bytes:
    """Replace the `model` of a request target's query; every other byte stays."""
    found = _parameter(target)
    if found is None:
        return target
    return target[: found.start(2)] + quote(model, safe="").encode() + target[found.end(2) :]


def _parameter(target: bytes) -> re.Match[bytes] | None:
    named, query = None, target.find(b"?")
    for parameter in _PARAMETER.finditer(target, query + 1 or len(target)):
        if unquote_plus(parameter[1].decode("latin-1")) == "model":
            named = parameter
    return named
