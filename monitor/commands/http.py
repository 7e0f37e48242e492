"""Asking our own processes over HTTP, with the standard library: it starts in milliseconds."""

from __future__ import annotations

from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import msgspec

from monitor.contract.command import INPUT_FAULT, CommandFault
from monitor.contract.config import Secret

UNREACHABLE = 3
_TIMEOUT_S = 5.0


def ask(url: str, token: Secret | None = None, body: bytes | None = None) -> bytes:
    """Fetch a URL, or post a JSON body to it. Raises CommandFault: what was refused is the caller's fault (status 2)."""
    try:
        return _fetch(url, token, body)
    except HTTPError as error:
        with error:
            status = INPUT_FAULT if error.code < 500 else UNREACHABLE
            raise CommandFault(_refusal(error), status) from None


def _refusal(error: HTTPError) -> str:
    """Return what our own error document says, or the status where the answer is none."""
    try:
        return str(msgspec.json.decode(error.read())["error"]["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"{error.url} answers {error.code} {error.reason}"


def get(url: str, token: Secret | None = None) -> bytes:
    """Fetch a plain URL, with a bearer token where one is given. Raises CommandFault, for a refusal too."""
    try:
        return _fetch(url, token, None)
    except HTTPError as error:
        with error:
            raise _silent(url, error) from None


def _fetch(url: str, token: Secret | None, body: bytes | None) -> bytes:
    """Fetch or post. Raises HTTPError for a refusal, CommandFault where nobody answers."""
    if not url.startswith(("http://", "https://")):
        raise CommandFault(f"got {url!r}; expected a URL such as http://127.0.0.1:8081", UNREACHABLE)
    headers = {} if token is None else {"Authorization": f"Bearer {token.reveal()}"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    try:
        with urlopen(Request(url, body, headers), timeout=_TIMEOUT_S) as answer:  # noqa: S310 the scheme was checked
            found: bytes = answer.read()
    except HTTPError:
        raise
    except (URLError, OSError, ValueError) as error:
        raise _silent(url, error) from None
    return found


def _silent(url: str, error: Exception) -> CommandFault:
    reason: Any = getattr(error, "reason", None) or error
    return CommandFault(f"{url} does not answer ({reason})", UNREACHABLE)
