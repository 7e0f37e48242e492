"""config.example.yaml is the whole configuration: nothing missing, nothing extra, every default as it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import pytest

from monitor.contract.config import Config, load_config
from monitor.contract.config_yaml import read_yaml

EXAMPLE = Path(__file__).parents[3] / "config.example.yaml"


def keys_of(kind: Any, at: str = "") -> set[str]:
    """Every dotted key of a section, through nested sections and lists of sections."""
    keys = set()
    for field in msgspec.structs.fields(kind):
        inner = get_args(field.type)[0] if get_origin(field.type) is tuple else field.type
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            keys |= keys_of(inner, f"{at}{field.name}.")
        else:
            keys.add(f"{at}{field.name}")
    return keys


def keys_in(data: Any, at: str = "") -> set[str]:
    """Every dotted key of the file; free-form mappings are one key."""
    if isinstance(data, list) and data and isinstance(data[0], dict):
        return set().union(*(keys_in(item, at) for item in data))
    if isinstance(data, dict) and data:
        return set().union(*(keys_in(value, f"{at}.{key}" if at else key) for key, value in data.items()))
    return {at}


def test_no_key_is_missing_or_extra():
    """The file documents exactly the keys that there are."""
    assert keys_in(read_yaml(EXAMPLE)) == keys_of(Config)


def test_the_values_are_the_defaults():
    """Loading the file changes nothing."""
    assert load_config(EXAMPLE) == Config() == load_config(None)


def lines_with_comments() -> list[tuple[str, str, str]]:
    """Return (key, value, the comment above its group of keys) of every line that sets something."""
    found, comment, fresh = [], "", False
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        text = line.strip().removeprefix("- ")
        if text.startswith("#"):
            comment = f"{comment} {text[1:].strip()}" if fresh else text[1:].strip()
            fresh = True
        elif text:
            key, _, value = text.partition(":")
            found.append((key, value.strip(), comment))
            fresh = False
        else:
            comment, fresh = "", False
    return found


@pytest.mark.parametrize(("key", "value", "comment"), lines_with_comments())
def test_every_key_is_explained_and_its_comment_states_the_default(key: str, value: str, comment: str):
    """A comment stands above each key, and the default in it is the value below it."""
    assert len(comment) > 10, f"{key} has no comment"
    if value:
        stated = re.search(r"Default: (.*)", comment)
        assert stated, f"{key} does not state its default"
        assert value in stated[1], f"{key}: the comment says {stated[1]}, the file {value}"
