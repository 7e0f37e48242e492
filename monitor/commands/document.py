"""One JSON document on stdout: every field of every value, null where there is none, so that readers need no `get`."""

from __future__ import annotations

import sys
from typing import Any

import msgspec


def whole(value: Any) -> Any:
    """Return structs as mappings with all their fields; msgspec alone would leave defaults out."""
    if isinstance(value, msgspec.Struct):
        return {name: whole(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {key: whole(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [whole(inner) for inner in value]
    return value


def print_document(value: Any) -> None:
    """Print a value as one line of JSON on stdout."""
    sys.stdout.write(msgspec.json.encode(whole(value), enc_hook=_plain).decode() + "\n")


def _plain(value: Any) -> Any:
    """Turn numpy's numbers, which calculations may leave in a result, into plain ones."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"no JSON for {type(value).__name__}")
