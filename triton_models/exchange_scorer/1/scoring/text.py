"""What of a text is read, and how it travels.

Law of this file: pure. Texts travel as UTF-8; what is not UTF-8 is replaced (U+FFFD), never refused. Of a long text
the beginning and the end are read: the style and topic of an answer show there, and the cost of a text is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable

# Characters read from the beginning and, of a text longer than both together, from the end.
HEAD_CHARS = 4_000
TAIL_CHARS = 1_000


class TextRefused(ValueError):
    """A text that will not be scored; the message says why. Only the request that holds it fails."""


def read_text(text: str | bytes) -> str:
    """Return the text that is scored: valid Unicode, with the middle of a long text left out."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    if len(text) > HEAD_CHARS + TAIL_CHARS:
        text = f"{text[:HEAD_CHARS]}\n{text[-TAIL_CHARS:]}"
    # Lone surrogates cannot travel; both ways of scoring must read the same text.
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def check_sizes(texts: Iterable[str | bytes], most_bytes: int) -> None:
    """Refuse texts beyond `most_bytes`. Raises TextRefused."""
    for text in texts:
        if len(text) > most_bytes:
            raise TextRefused(f"a text of {len(text):,} bytes exceeds max_text_bytes = {most_bytes:,}")
