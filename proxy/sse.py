"""Server-sent events: from the bytes of a whole stream to the data of its events.

Law: the mirror alone uses this, never the forwarder. The rules are the WHATWG ones: lines end in CRLF, LF or CR,
a byte order mark may stand first, lines that start with a colon are comments, several data lines are joined by LF.
One departure: an event that the stream's end cuts off is given out too, because servers forget the last blank line.
"""

from __future__ import annotations

from collections.abc import Iterator

BOM = b"\xef\xbb\xbf"


def event_data(stream: bytes) -> Iterator[bytes]:
    """Yield the data of each event that has any."""
    if stream.startswith(BOM):
        stream = stream[3:]
    if b"\r" in stream:
        stream = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    data: list[bytes] = []
    for line in stream.split(b"\n"):
        if not line:
            if data:
                yield data[0] if len(data) == 1 else b"\n".join(data)
                data = []
        elif line.startswith(b"data:"):
            data.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line == b"data":
            data.append(b"")
    if data:
        yield b"\n".join(data)


def looks_like_events(body: bytes) -> bool:
    """Tell an event stream from JSON by its first bytes, for servers that mislabel it."""
    start = body[:16].removeprefix(BOM).lstrip()
    return start.startswith((b"data:", b"event:", b":", b"id:", b"retry:"))
