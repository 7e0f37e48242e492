"""Logs never show what users wrote."""

from __future__ import annotations

import json

import pytest
import structlog

from monitor.service.log import set_up_logs


def fail(words: str) -> None:
    """Fail with a user's words among the local variables and in the message."""
    raise ZeroDivisionError(f"cannot divide {words}")


@pytest.mark.parametrize("kind", ["console", "json"])
def test_a_traceback_has_no_values(kind, capsys):
    """The log of a failure names places in the code, not the values that were there."""
    set_up_logs(kind)
    try:
        fail("etorw resu a tahw"[::-1])
    except ZeroDivisionError:
        structlog.get_logger().exception("a step failed", step="work")
    finally:
        structlog.reset_defaults()
    output = capsys.readouterr()
    assert "a step failed" in output.err
    assert "ZeroDivisionError" in output.err
    assert "what a user wrote" not in output.err
    assert output.out == ""
    if kind == "json":
        assert json.loads(output.err)["step"] == "work"
