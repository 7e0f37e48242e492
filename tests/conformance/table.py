"""The table of results: a row for each case, a column for each proxy or configuration.

Law: pure. A case with several tests shows its worst result; a column of an earlier run stays beside the new ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

# From best to worst.
RESULTS = ("pass", "skip", "xfail", "fail")
_TEST = re.compile(r"::test_(f\d\d)_(\w+)\[(\w+)")

Table = dict[tuple[str, str], dict[str, str]]


def case_of(node: str) -> tuple[str, str, str] | None:
    """Return case, title and configuration of a test's node id."""
    found = _TEST.search(node)
    return (found[1].upper(), found[2].replace("_", " "), found[3]) if found else None


def add(table: Table, case: str, title: str, column: str, result: str) -> None:
    """Note a result, unless a worse one of the same case and column is there."""
    key = next((known for known in table if known[0] == case), (case, title))
    row = table.setdefault(key, {})
    ran = {row.get(column, result), result} - {"skip"}
    row[column] = max(ran or {"skip"}, key=RESULTS.index)


def write(table: Table, columns: Sequence[str]) -> str:
    """Write Markdown."""
    head = ["case", "the proxy must", *columns]
    rows = [head, ["---"] * 2 + [":-:"] * len(columns)]
    rows += [
        [case, title, *(row.get(c, "-") for c in columns)] for (case, title), row in sorted(table.items())
    ]
    passed: Mapping[str, int] = {c: sum(row.get(c) == "pass" for row in table.values()) for c in columns}
    ran = {c: sum(row.get(c) in {"pass", "fail", "xfail"} for row in table.values()) for c in columns}
    rows.append(["", "passed", *(f"{passed[c]} of {ran[c]}" for c in columns)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def read(text: str) -> tuple[Table, list[str]]:
    """Read such a table again."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line]
    columns = rows[0][2:] if rows else []
    table: Table = {}
    for row in rows[2:]:
        if row[0]:
            table[row[0], row[1]] = {c: r for c, r in zip(columns, row[2:], strict=True) if r != "-"}
    return table, columns
