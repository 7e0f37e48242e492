"""The table of results, by itself."""

from __future__ import annotations

from tests.conformance import table


def test_tables_are_read_as_they_were_written() -> None:
    """The worst result of a case stands, and a table survives a round trip."""
    results: table.Table = {}
    for result in ("skip", "pass", "fail", "pass"):
        table.add(results, "F01", "ours", result)
    table.add(results, "F02", "ours", "skip")
    table.add(results, "F03", "ours", "pass")
    text = table.write(results, ["ours"])
    assert "| F01 | sends the request body with identical bytes | fail |" in text
    assert "| **passed** | 1 of 2 |" in text
    assert table.read(text) == (results, ["ours"])


def test_node_ids_name_case_and_configuration() -> None:
    """A test of this suite is known by its name, any other is not one of a case."""
    assert table.case_of("tests/conformance/test_ends.py::test_f24_abort[off-rst]") == ("F24", "off")
    assert table.case_of("tests/conformance/test_table.py::test_other") is None
