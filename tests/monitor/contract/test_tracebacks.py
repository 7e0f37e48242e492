"""Tracebacks name places and exceptions, and no values."""

from __future__ import annotations

import sys

from monitor.contract.tracebacks import render_exception, without_messages

SECRET = "what a user wrote"


def caused() -> None:
    """Fail because of another failure."""
    try:
        {}[SECRET]
    except KeyError as error:
        raise ValueError("cannot use " + SECRET) from error


def handled(*, hidden: bool) -> None:
    """Fail while another failure is handled."""
    try:
        caused()
    except ValueError as error:
        if hidden:
            raise OSError(SECRET) from None
        raise OSError(SECRET) if error else error  # noqa: B904 - the context is what is tested


def written(*, hidden: bool) -> str:
    """Return the traceback of a failure."""
    try:
        handled(hidden=hidden)
    except OSError:
        kind, error, trace = sys.exc_info()
        assert kind is not None
        assert error is not None
        return without_messages((kind, error, trace))
    raise AssertionError


def test_the_whole_chain_is_there_in_pythons_order_without_its_messages():
    """Cause, context and the last one, each with its frames."""
    text = written(hidden=False)
    assert SECRET not in text
    kinds = [line for line in text.splitlines() if line.startswith("builtins.")]
    assert kinds == ["builtins.KeyError", "builtins.ValueError", "builtins.OSError"]
    assert text.index("direct cause") < text.index("While that was handled")
    assert "in caused" in text


def test_a_context_that_was_hidden_stays_hidden():
    """`from None` is respected."""
    assert "ValueError" not in written(hidden=True)


def test_the_processor_takes_what_loggers_give():
    """True, an exception, a triple, and nothing."""
    error = ValueError(SECRET)
    for given in (error, (ValueError, error, None)):
        event = render_exception(None, "error", {"event": "e", "exc_info": given})
        assert event["exception"].endswith("builtins.ValueError")
        assert SECRET not in event["exception"]
    assert render_exception(None, "error", {"event": "e", "exc_info": True}) == {"event": "e"}
    assert render_exception(None, "error", {"event": "e"}) == {"event": "e"}
