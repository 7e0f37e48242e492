"""One shape for all processes, and never what users wrote."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from monitor.contract.logs import set_up_logs


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    """Leave structlog and logging as other tests expect them."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def fail(words: str) -> None:
    """Fail with a user's words among the local variables and in the message."""
    raise ZeroDivisionError(f"cannot divide {words}")


@pytest.mark.parametrize("kind", ["console", "json"])
@pytest.mark.parametrize("library", [False, True])
def test_a_traceback_has_no_values(kind, library, capsys):
    """The log of a failure names places in the code, not the values that were there; a library's neither."""
    set_up_logs(kind, "monitor")
    try:
        fail("etorw resu a tahw"[::-1])
    except ZeroDivisionError:
        if library:
            logging.getLogger("library").exception("a step failed")
        else:
            structlog.get_logger().exception("a step failed", step="work")
    output = capsys.readouterr()
    assert "a step failed" in output.err
    assert "ZeroDivisionError" in output.err
    assert "what a user wrote" not in output.err
    assert output.out == ""


def test_every_line_has_the_same_shape(capsys):
    """Our own lines and the libraries', from any thread, with what the process says of itself."""
    set_up_logs("json", "proxy", worker=3)
    structlog.get_logger().info("proxy listens", exchange="01a")
    logging.getLogger("library").warning("careful: %s", "hot")
    own, theirs = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    for line in (own, theirs):
        assert {"event", "level", "timestamp", "process", "worker"} <= set(line)
        assert (line["process"], line["worker"]) == ("proxy", 3)
    assert (own["exchange"], own["level"]) == ("01a", "info")
    assert (theirs["event"], theirs["level"]) == ("careful: hot", "warning")


def test_noise_is_left_out(capsys):
    """What a process names as unsaid, and whatever is below a warning in a library."""
    set_up_logs("json", "proxy", unsaid=("Invalid HTTP request",))
    logging.getLogger("library").warning("Invalid HTTP request received.")
    logging.getLogger("library").info("chatter")
    structlog.get_logger().debug("detail")
    assert capsys.readouterr().err == ""


def test_lines_go_to_stderr_as_it_is_now(capsys):
    """Standard output belongs to documents."""
    set_up_logs("console", "triton")
    structlog.get_logger().info("triton ready", grpc=8001)
    output = capsys.readouterr()
    assert output.out == ""
    assert "triton ready" in output.err
    assert not sys.stderr.isatty()
