"""What is wrong with a configuration, in the words of the person who wrote it.

Law of this file: from a validation message and the data to one line `key: got value; expected what would be right`,
in YAML's terms (text, a whole number, true or false, a list, a mapping of keys), never in Python's. The expected
type is looked up in the sections themselves, so that a new key needs no words here. Secrets are never shown.
"""

from __future__ import annotations

import difflib
import re
import types
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

SECRET_KEYS = frozenset({"token", "api_key"})

_AT = re.compile(r" - at `\$?\.?(?P<key>[^`]*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>[^`]*)`")
_STEP = re.compile(r"[^.\[\]]+|\.\.\.")


class ConfigError(ValueError):
    """The configuration cannot be used; the message is one line meant for a person."""


def explain(message: str, data: dict[str, Any], root: type[msgspec.Struct]) -> str:
    """Turn msgspec's message about `data`, converted to `root`, into one line."""
    found = _AT.search(message)
    key, what = found["key"] if found else "", _AT.sub("", message)
    if unknown := _UNKNOWN.search(what):
        return _unknown_key(key, unknown["field"], data, root)
    value = "a secret" if key.rpartition(".")[2] in SECRET_KEYS else shown(value_at(data, key))
    own_words = ", got `" not in what and not what.startswith("Invalid enum value")
    right = what[0].lower() + what[1:] if own_words else f"expected {in_words(type_at(root, key))}"
    return f"{key or 'top level'}: got {value}; {right}"


def _unknown_key(key: str, field: str, data: dict[str, Any], root: type[msgspec.Struct]) -> str:
    full = f"{key}.{field}" if key else field
    section = type_at(root, key)
    known = [f.name for f in msgspec.structs.fields(section)] if _is_section(section) else []
    close = difflib.get_close_matches(field, known, n=1)
    value = "a secret" if SECRET_KEYS.intersection([field, *close]) else shown(value_at(data, full))
    hint = f"did you mean `{close[0]}`?" if close else f"known here: {', '.join(known)}"
    return f"unknown key `{full}` (value {value}); {hint}"


def type_at(root: Any, key: str) -> Any:
    """Return the annotated type at a dotted key such as `routes[0].variant.api_key`; None where there is none."""
    kind: Any = root
    for step in _STEP.findall(key):
        kind = _step_into(_without_none(kind), step)
    return kind


def _step_into(kind: Any, step: str) -> Any:
    if _is_section(kind):
        return next((field.type for field in msgspec.structs.fields(kind) if field.name == step), None)
    arguments = get_args(kind)
    if get_origin(kind) is dict:
        return arguments[1]
    return arguments[0] if get_origin(kind) in {tuple, list} else None


def _without_none(kind: Any) -> Any:
    if get_origin(kind) not in {types.UnionType, Union}:
        return kind
    return next(t for t in get_args(kind) if t is not types.NoneType)


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


_WORDS: dict[Any, str] = {
    str: "text (put it in quotes)",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    types.NoneType: "null",
}


def in_words(kind: Any) -> str:
    """Say what a type expects, in YAML's terms."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {types.UnionType, Union}:
        return " or ".join(in_words(argument) for argument in arguments)
    if origin is Literal:
        return (
            f"one of: {', '.join(map(str, arguments))}"
            if len(arguments) > 1
            else f"{arguments[0]} (the only choice)"
        )
    if origin in {tuple, list}:
        return f"a list, each item {in_words(arguments[0]).partition(';')[0]}"
    if origin is dict:
        return f"a mapping of names to {in_words(arguments[1])}"
    if _is_section(kind):
        known = ", ".join(field.name for field in msgspec.structs.fields(kind))
        return f"a mapping of keys ({known}); leave it out for the defaults"
    return _WORDS.get(kind, "`env:NAME`, the environment variable that holds it")


def value_at(data: Any, key: str) -> Any:
    """Return the value at a dotted key of plain data, as far as the path exists."""
    for step in _STEP.findall(key):
        if isinstance(data, dict):
            data = data.get(step) if step != "..." else data
        elif isinstance(data, list):
            data = data[int(step)] if step.isdigit() and int(step) < len(data) else data
    return data


# Where people put passwords and keys into a URL, right or wrong.
_USER_INFORMATION, _QUERY = re.compile(r"[^/@\s]+@"), re.compile(r"(://[^?]*)\?.+")
_YAML = {None: "null", True: "true", False: "false"}


def shown(value: Any, limit: int = 60) -> str:
    """Show a value as YAML would have it, on one line of at most `limit` characters; secrets inside stay hidden."""
    text = _YAML[value] if value is None or isinstance(value, bool) else repr(_masked(value))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: "***" if k in SECRET_KEYS and v is not None else _masked(v) for k, v in value.items()}
    if isinstance(value, str):
        return _USER_INFORMATION.sub("***@", _QUERY.sub(r"\1?***", value))
    return [_masked(item) for item in value] if isinstance(value, list) else value
