"""The table of our own faults."""

from __future__ import annotations

import json
import re

import pytest

from proxy.faults import CLOSING, FAULTS, TOLD, fault_answer


@pytest.mark.parametrize("code", FAULTS)
def test_every_fault_has_openais_shape_and_our_mark(code: str) -> None:
    """Status, error object and `Drift-Error` as an RFC 9651 token."""
    answer = fault_answer(code, "detail")
    error = json.loads(answer.body)["error"]
    assert (error["code"], error["param"]) == (code, None)
    assert error["message"].endswith("(detail)") is (code in TOLD)
    assert 400 <= answer.status < 600
    headers = dict(answer.headers)
    assert (headers.get(b"connection") == b"close") is (code in CLOSING)
    assert headers[b"content-length"] == str(len(answer.body)).encode()
    assert re.fullmatch(rb"[a-z][a-z_]*", headers[b"drift-error"])
