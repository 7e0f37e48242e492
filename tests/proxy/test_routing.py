"""Routes by model, and the rewrite of one JSON string."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.contract.config import load_config
from proxy.routing import build_router, model_in_query, model_of, with_model, with_model_in_query
from proxy.transport import parse_upstream


def test_one_catch_all_looks_at_nothing() -> None:
    """The defaults need no body; a rewrite or a pattern does."""
    assert build_router(load_config(None)).only is not None
    rewriting = {"routes": [{"variant": {"model": "x"}}]}
    assert build_router(load_config(None, rewriting)).only is None


def test_the_first_matching_route_serves() -> None:
    """Patterns are tried in order; no model goes to the first route, an unknown one nowhere."""
    routes = [{"name": "a", "match": "gpt-4*"}, {"name": "b", "match": "gpt-*"}]
    router = build_router(load_config(None, {"routes": routes}))
    found = {model: router.choose(model) for model in ("gpt-4o", "gpt-3", "", "llama")}
    assert {model: choice and choice.route for model, choice in found.items()} == {
        "gpt-4o": "a",
        "gpt-3": "b",
        "": "a",
        "llama": None,
    }


@pytest.mark.parametrize(
    ("body", "model"),
    [(b'{"model":"m"}', "m"), (b'{"model":5}', ""), (b"[]", ""), (b"\xff", ""), (b'{"a":{"model":"x"}}', "")],
)
def test_reading_the_model(body: bytes, model: str) -> None:
    """Only a top-level string counts."""
    assert model_of(body) == model


@pytest.mark.parametrize(
    ("body", "rewritten"),
    [
        (b'{ "model" : "a" , "n":1}', b'{ "model" : "new" , "n":1}'),
        (
            b'{"x":{"model":"a"},"y":["model","b"],"model":"c"}',
            b'{"x":{"model":"a"},"y":["model","b"],"model":"new"}',
        ),
        (b'{"model":"a","model":"b"}', b'{"model":"a","model":"new"}'),
        (b'{"k":"model","model":"a\\"}"}', b'{"k":"model","model":"new"}'),
        (b'{"mod\\u0065l":"a"}', b'{"mod\\u0065l":"new"}'),
        (b'{"model":7}', b'{"model":7}'),
        (b'{"n":1e400,  "u":"\\ud800"}', b'{"n":1e400,  "u":"\\ud800"}'),
        (b'{"model":"new","n":1}', b'{"model":"new","n":1}'),
        (
            b'{"t":[{"model":"a"},{"model":"a"}],"model":"a"}',
            b'{"t":[{"model":"a"},{"model":"a"}],"model":"new"}',
        ),
        (b'{"t":{"model":"a"},"mod\\u0065l":"a"}', b'{"t":{"model":"a"},"mod\\u0065l":"new"}'),
        (
            b'{"t":[' + b'{"model":"a"},' * 9 + b'0],"model":"a"}',
            b'{"t":[' + b'{"model":"a"},' * 9 + b'0],"model":"new"}',
        ),
        # No proper JSON, yet some upstream may read it.
        (b'{"model":"x","\\u00zz":"y"}', b'{"model":"new","\\u00zz":"y"}'),
        (b'{"\xff\\n":"v","model":"x"}', b'{"\xff\\n":"v","model":"new"}'),
        (b'{"model":"x",}', b'{"model":"new",}'),
    ],
)
def test_only_that_string_changes(body: bytes, rewritten: bytes) -> None:
    """Spaces, other keys, nested and repeated ones stay as they are."""
    assert with_model(body, "new") == rewritten


@given(
    st.dictionaries(
        st.text(max_size=6) | st.just("model"), st.text(max_size=9) | st.lists(st.text(max_size=3))
    )
)
def test_rewriting_agrees_with_json(document: dict[str, Any]) -> None:
    """A JSON reader sees the same document with another model."""
    expected = dict(document)
    if isinstance(expected.get("model"), str):
        expected["model"] = "new"
    assert json.loads(with_model(json.dumps(document).encode(), "new")) == expected


@pytest.mark.parametrize(
    ("upstream", "path", "target"),
    [
        ("https://h/v1", b"/v1/chat", b"/v1/chat"),
        ("https://h/api/openai/", b"/v1/chat", b"/api/openai/chat"),
        ("https://h", b"/v1/chat", b"/chat"),
        ("https://h/v1", b"/other//x", b"/other//x"),
        ("https://h/v1", b"/v1", b"/v1"),
    ],
)
def test_paths_map_to_the_upstream(upstream: str, path: bytes, target: bytes) -> None:
    """`/v1/x` goes below the base URL, anything else to the origin."""
    assert parse_upstream(upstream).target(path) == target
    assert parse_upstream(upstream).target(path + b"?a=&b") == target + b"?a=&b"
    assert parse_upstream(upstream).target(path + b"?") == target + b"?"


@pytest.mark.parametrize(
    ("target", "model", "rewritten"),
    [
        (b"/v1/realtime?model=a", "a", b"/v1/realtime?model=n%2F1"),
        (b"/v1/realtime?x=1&model=a%2Fb+c&y", "a/b c", b"/v1/realtime?x=1&model=n%2F1&y"),
        (b"/v1/realtime?model=a&mod%65l=b", "b", b"/v1/realtime?model=a&mod%65l=n%2F1"),
        (b"/v1/realtime?model=", "", b"/v1/realtime?model=n%2F1"),
        (b"/v1/realtime?my_model=a&models=b&model", "", b"/v1/realtime?my_model=a&models=b&model"),
        (b"/v1&model=a/realtime", "", b"/v1&model=a/realtime"),
        (b"/v1/realtime", "", b"/v1/realtime"),
    ],
)
def test_the_model_of_a_query(target: bytes, model: str, rewritten: bytes) -> None:
    """It is read as servers read it, and rewriting it leaves every other byte alone."""
    assert model_in_query(target) == model
    assert with_model_in_query(target, "n/1") == rewritten
