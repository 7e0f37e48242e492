"""How a client's program is spoken to: a line of JSON in, a line of JSON out, until its input ends.

In: `{"feature", "base"}`, a base URL as clients write it. Out: `{"heard": true}` when the first words of a stream have
come, then `{"answer": …}`, or `{"failed": text}` when the client raised what the feature did not expect. What clients
print themselves goes to stderr.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

KEY = "sk-test-of-clients"
MODEL = "gpt-4o-mini"  # some clients take only names that they know
EMBEDDER = "text-embedding-3-small"
CITY_TOOL = {
    "name": "get_weather",
    "description": "Weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
WEATHER_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "celsius": {"type": "integer"}},
    "required": ["city", "celsius"],
    "additionalProperties": False,
}
GRACE_S = 1.5  # longer than the model may take to notice
Feature = Callable[[str], Any]
_OUT = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)


def say(document: dict[str, Any]) -> None:
    """Write one line."""
    print(json.dumps(document), file=_OUT, flush=True)


def run(features: dict[str, Feature]) -> None:
    """Answer until stdin ends."""
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            found = {"answer": features[asked["feature"]](asked["base"])}
        except Exception:  # noqa: BLE001 - whatever a client raises is the test's to judge
            found = {"failed": traceback.format_exc()}
        say(found)


def streamed(pieces: Iterable[str | None]) -> dict[str, Any]:
    """Join a stream's text; say when its first words have come."""
    found = []
    for piece in filter(None, pieces):
        if not found:
            say({"heard": True})
        found.append(piece)
    return {"text": "".join(found), "pieces": len(found)}


def cancelled(read: Callable[[asyncio.Event], Awaitable[None]]) -> dict[str, Any]:
    """Run `read`, which sets its event when something came, and cancel it then; note when (epoch seconds)."""

    async def whole() -> float:
        read_some = asyncio.Event()
        task = asyncio.ensure_future(read(read_some))
        await read_some.wait()
        left_at = time.time()
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(GRACE_S)  # the loop lives on, as a service's does
        return left_at

    return {"left_at": asyncio.run(whole())}


def refused(error: Any) -> dict[str, Any]:
    """Tell what a client makes of a refusal: any error with the official client's fields."""
    body = error.body if isinstance(error.body, dict) else {}
    # LiteLLM makes a response of its own and keeps the served one's headers beside it.
    headers = getattr(error, "litellm_response_headers", None) or error.response.headers
    return {
        "kind": type(error).__name__,
        "status": error.status_code,
        "code": getattr(error, "code", None) or body.get("code"),
        "retry_after": headers.get("retry-after"),
        "message": str(error),
    }
