"""Reading the YAML of a configuration file, as people mean it.

Law of this file: YAML 1.2's core words, so that `headers: off` is the word `off` and `true` alone is true (YAML 1.1,
PyYAML's default, reads both as booleans, and `12:30` as a number). A key given twice and a key that is not a plain
word are errors with their line, because the last one silently winning is how a wrong setting survives a review.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from monitor.contract.config_errors import ConfigError, shown


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader without the implicit types of YAML 1.1."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 PyYAML's own class attribute

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 the base class's signature
        """Build a mapping; refuse keys that are no words and keys given twice."""
        first: dict[str, int] = {}
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise ConfigError(
                    f"got the key {shown(key)} in line {line}; expected a word, or put it in quotes"
                )
            if key in first:
                raise ConfigError(
                    f"the key `{key}` is given twice, in lines {first[key]} and {line}; keep one of them"
                )
            first[key] = line
        return super().construct_mapping(node, deep)


for _tag, _pattern, _starts in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+(?:_[0-9]+)*|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf)|\.(?:nan|NaN)", "-+.0123456789"),
):  # fmt: skip
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})$"), list(_starts))


def _float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    text = str(loader.construct_scalar(node)).lower()
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


def _int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node)).replace("_", "")
    return int(text, 0 if text[:2] in {"0o", "0x"} else 10)


_Loader.add_constructor("tag:yaml.org,2002:float", _float)
_Loader.add_constructor("tag:yaml.org,2002:int", _int)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a file's mapping; an empty file is an empty mapping. Raises ConfigError that names the file."""
    text = _read_text(path)
    try:
        data = yaml.load(text, _Loader)  # noqa: S506 a SafeLoader, with fewer implicit types
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}" if error.problem_mark else "somewhere"
        raise ConfigError(f"{path}: is not YAML: {error.problem} in {where}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    if data is None:
        return {}
    if _holds_itself(data, set(), set()):
        raise ConfigError(f"{path}: is not a tree: an alias (`*name`) stands within its own anchor")
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a mapping of keys at the top, got {shown(data)}")
    return data


def _holds_itself(value: Any, above: set[int], done: set[int]) -> bool:
    """Whether a value is part of itself; `above` and `done` name those being and those already looked through."""
    if not isinstance(value, dict | list) or id(value) in done:
        return False
    if id(value) in above:
        return True
    above.add(id(value))
    inner = value.values() if isinstance(value, dict) else value
    found = any(_holds_itself(each, above, done) for each in inner)
    above.remove(id(value))
    done.add(id(value))
    return found


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a directory, expected a YAML file") from None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); give an existing file with --config"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from None
