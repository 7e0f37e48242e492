"""Asking our own processes over HTTP, with the standard library: it starts in milliseconds."""

from __future__ import annotations

from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from monitor.contract.command import CommandFault
from monitor.contract.config import Secret

UNREACHABLE = 3
_TIMEOUT_S = 5.0


def get(url: str, token: Secret | None = None) -> bytes:
    """Fetch a plain URL, with a bearer token where one is given. Raises CommandFault."""
    if not url.startswith(("http://", "https://")):
        raise CommandFault(f"got {url!r}; expected a URL such as http://127.0.0.1:8081", UNREACHABLE)
    headers = {} if token is None else {"Authorization": f"Bearer {token.reveal()}"}
    try:
        with urlopen(Request(url, headers=headers), timeout=_TIMEOUT_S) as answer:  # noqa: S310 the scheme was checked
            body: bytes = answer.read()
    except (URLError, OSError, ValueError) as error:
        reason: Any = getattr(error, "reason", None) or error
        raise CommandFault(f"{url} does not answer ({reason})", UNREACHABLE) from None
    return body
