"""The table of results: a row for each case, a column for each proxy or configuration.

Law: pure. A case with several tests shows its worst result; columns of an earlier run stay beside the new ones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# From best to worst.
RESULTS = ("skip", "pass", "xfail", "fail")
NOTHING = "-"
_TEST = re.compile(r"::test_(f\d\d)_\w+\[(\w+)")

CASES = {
    "F01": "sends the request body with identical bytes",
    "F02": "keeps unknown nested request fields",
    "F03": "returns JSON and events with identical bytes",
    "F04": "relays (and mirrors) role-only, finish-only and usage-only frames",
    "F05": "relays refusals, annotations and a terminal `error` frame",
    "F06": "delivers N frames as N frames",
    "F07": "does not inject or flip `stream_options.include_usage`",
    "F08": "survives usage of any shape",
    "F09": "passes SSE comments at once and adds none",
    "F10": "keeps CRLF, CR and LF",
    "F11": "survives any network split",
    "F12": "passes gzip streams, each part at once",
    "F13": "keeps Content-Encoding, Content-Length and bytes consistent",
    "F14": "leaves compressed request bodies alone",
    "F15": "forwards Accept-Encoding exactly and adds no header",
    "F16": "never contradicts itself in framing, HTTP/1.0 clients included",
    "F17": "passes rate-limit headers, streamed or not",
    "F18": "sends the upstream's `Server` and `Date`, once",
    "F19": "keeps repeated headers apart and hop-by-hop ones back",
    "F20": "adds its own headers without breaking a response",
    "F21": "carries its own headers on streams, errors and faults",
    "F22": "passes error answers, HEAD, 204 and 304 verbatim",
    "F23": "reports its own faults as 502/503/504 in OpenAI's shape",
    "F24": "breaks the client's connection when the upstream breaks",
    "F25": "delivers every byte that came before that",
    "F26": "cancels the upstream when the client leaves mid-stream",
    "F27": "… before the head or the first token",
    "F28": "… in a call that does not stream, or mid-upload",
    "F29": "counts in-flight requests right after cancels and errors",
    "F30": "forwards head and first chunk at once",
    "F31": "streams, whatever the content type",
    "F32": "leaves X-Accel-Buffering and Cache-Control alone",
    "F33": "delays no small write (TCP_NODELAY)",
    "F34": "carries 150 upstream requests at once",
    "F35": "isolates a hung backend",
    "F36": "carries many streams at once",
    "F37": "meets stale connections without a fault, and replays nothing",
    "F38": "never reuses a desynchronised connection",
    "F39": "passes large bodies in flat memory, and early answers",
    "F40": "streams uploads unchanged, answers Expect: 100-continue",
    "F41": "tunnels WebSockets",
    "F42": "keeps credentials out of logs, mirror and files",
    "F43": "passes trace headers",
    "F44": "keeps method, path and query bytes",
    "F45": "relays events and JSON, whichever was asked for",
    "F46": "costs clients nothing while the sink hangs",
    "F47": "accounts for every request",
    "F48": "delivers each exchange once",
    "F49": "costs the same per chunk late as early",
    "F50": "reaches the sink by one connection, buffers nothing unsampled",
    "F51": "mirrors cut streams as partial",
    "F52": "sends whole, uncounted shadow requests",
    "F53": "drains on SIGTERM",
    "F54": "stays flat in a soak",
    "F55": "stays quick beside large bodies",
    "F56": "agrees with its upstream on where a request ends (smuggling)",
    "F57": "is no open proxy",
}

# case -> column -> result
Table = dict[str, dict[str, str]]


def case_of(node: str) -> tuple[str, str] | None:
    """Return case and configuration of a test's node id."""
    found = _TEST.search(node)
    return (found[1].upper(), found[2]) if found else None


def add(table: Table, case: str, column: str, result: str) -> None:
    """Note a result, unless a worse one of the same case and column is there."""
    row = table.setdefault(case, {})
    row[column] = max(row.get(column, result), result, key=RESULTS.index)


def write(table: Table, columns: Sequence[str]) -> str:
    """Write Markdown."""
    rows = [["case", "the proxy", *columns], ["---"] * 2 + [":-:"] * len(columns)]
    rows += [
        [case, title, *(table.get(case, {}).get(column, NOTHING) for column in columns)]
        for case, title in CASES.items()
    ]
    rows.append(["", "**passed**", *(_share(table, column) for column in columns)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _share(table: Table, column: str) -> str:
    results = [row[column] for row in table.values() if row.get(column, "skip") != "skip"]
    return f"{results.count('pass')} of {len(results)}"


def read(text: str) -> tuple[Table, list[str]]:
    """Read such a table again."""
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")] for line in text.splitlines() if line
    ]
    columns = rows[0][2:] if rows else []
    table: Table = {}
    for row in rows[2:]:
        if row[0] in CASES and set(row[2:]) != {NOTHING}:
            table[row[0]] = {c: r for c, r in zip(columns, row[2:], strict=True) if r != NOTHING}
    return table, columns
