"""Where keys and tokens begin and where they end: the rule `key`.

Law: a key begins with a head that is known by its prefix, and ends where its characters do, however far that is. A
private key's block goes from BEGIN to END; without END, to where what follows no longer looks like a key. A JSON web
token is one only with its three parts; a run of characters that has turned out not to be one is remembered.
"""

from __future__ import annotations

import re

from proxy.finding import Measure, Rule, run_end

# Each alternative begins with a letter of its own and looks behind itself later, so that the search skips all others.
_HEAD = re.compile(
    r"sk[-_](?<!\wsk[-_])[A-Za-z0-9_\-]{16}"
    r"|pk[-_](?<!\wpk[-_])[A-Za-z0-9_\-]{16}"
    r"|rk[-_](?<!\wrk[-_])[A-Za-z0-9_\-]{16}"
    r"|Bearer\s(?<!\wBearer\s)(?=\s|[A-Za-z0-9._~+/=\-]{16})"
    r"|Basic\s(?<!\wBasic\s)(?=\s|[A-Za-z0-9._~+/=\-]{16})"
    r"|bearer\s(?<!\wbearer\s)(?=\s|[A-Za-z0-9._~+/=\-]{16})"
    r"|basic\s(?<!\wbasic\s)(?=\s|[A-Za-z0-9._~+/=\-]{16})"
    r"|A(?<!\wA)(?:[KS]IA[0-9A-Z]{16}\b|Iza[A-Za-z0-9_\-]{35})"
    r"|gh[pousr]_(?<!\wgh[pousr]_)[A-Za-z0-9]{30}"
    r"|github_pat_(?<!\wgithub_pat_)[A-Za-z0-9_]{30}"
    r"|glpat-(?<!\wglpat-)[A-Za-z0-9_\-]{20}"
    r"|xox[abeprs]-(?<!\wxox[abeprs]-)[A-Za-z0-9\-]{10}"
    r"|hf_(?<!\whf_)[A-Za-z0-9]{30}"
    r"|eyJ(?<!\weyJ)[A-Za-z0-9_\-]{8}"
    r"|-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
)
_SPACES = re.compile(r"\s*+")
_CREDENTIAL = re.compile(r"[A-Za-z0-9._~+/=\-]*+")
_WORD = re.compile(r"[A-Za-z0-9_\-]*+")

# Inside a private key's block: header fields (RFC 1421), the key, and what stands between its lines where the block is
# quoted, indented, or part of a program or of JSON.
_FIELD = re.compile(r"(?:[\s>|#*]|\\[rn])*+[A-Z][A-Za-z\-]{1,30}: [^\n\\]{0,256}+(?:\n|\\[rn])")
_BETWEEN = re.compile(r"[\s\\>|#*\"'`,]*+")
_BASE64 = re.compile(r"[A-Za-z0-9+/=]*+")
_NO_LETTER = re.compile(r"[0-9+/=]")
_MARKER = re.compile(r"-----(?:BEGIN|END) ")
_END = re.compile(r"-----END [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-{0,5}")
# A run of base64 that is as long is no word.
_NO_WORD = 24
# How far an END may be from where a block stops looking like a key.
_ODD = 16 * 1024


def _measuring() -> Measure:
    no_token_before = 0

    def web_token(text: str, found: re.Match[str]) -> tuple[int, bool]:
        nonlocal no_token_before
        start = found.start()
        if start >= no_token_before:
            first = run_end(_WORD, text, found.end())
            end = _last_part_end(text, first)
            if end:
                return end, True
            # Every other head in this run would come to the same place.
            no_token_before = first
        return start + 1, False

    def measure(text: str, found: re.Match[str]) -> tuple[int, bool]:
        start = found.start()
        first = text[start]
        if first == "e":
            return web_token(text, found)
        if first == "-":
            return _block_end(text, found.end()), True
        if first in "Bb":
            return _credential_end(text, start, found.end())
        if first == "A":
            return found.end(), True
        return run_end(_WORD, text, found.end()), True

    return measure


def _last_part_end(text: str, at: int) -> int:
    """Return where a web token ends of which the first part ends here; 0 where it is none."""
    if text[at : at + 1] != ".":
        return 0
    second = run_end(_WORD, text, at + 1)
    if second - at <= 8 or text[second : second + 1] != ".":
        return 0
    return run_end(_WORD, text, second + 1)


def _credential_end(text: str, start: int, at: int) -> tuple[int, bool]:
    begins = run_end(_SPACES, text, at)
    end = run_end(_CREDENTIAL, text, begins)
    # Nothing but spaces and what is too short for a key was read, in which no other key can be.
    return (end, True) if end - begins >= 16 else (start + 1, False)


def _block_end(text: str, at: int) -> int:
    """Return where the private key ends of which the BEGIN line ends here."""
    while field := _FIELD.match(text, at, at + 1024):
        at = field.end()
    while True:
        begins = run_end(_BETWEEN, text, at)
        ends = run_end(_BASE64, text, begins)
        if ends == begins or not _looks_like_a_key(text, begins, ends):
            break
        at = ends
    # Of a form that we do not know, but a block all the same, if the next marker is its END.
    marker = _MARKER.search(text, at, begins + _ODD)
    end = None if marker is None else _END.match(text, marker.start())
    return at if end is None else end.end()


def _looks_like_a_key(text: str, begins: int, ends: int) -> bool:
    """Say whether a run of base64 is a line of a key rather than a word of prose: by its length, its end, or a sign."""
    return (
        ends - begins >= _NO_WORD
        or ends == len(text)
        or text[ends] in "\r\n\\\"'`"
        or text.startswith("-----", ends)
        or _NO_LETTER.search(text, begins, ends) is not None
    )


KEY = Rule("[key]", _HEAD, _measuring)

# A character that is rare in prose, and how a key looks around it. Each pattern begins with that very character, so
# that the search for it runs at the speed of memory; what stands before it is looked at only where it was found.
_DASHED = re.compile(
    r"-(?:(?<=[spr]k-)|(?<=xox[abeprs]-)|(?<=glpat-)|(?<=PRIVATE KEY-)|(?<=PRIVATE KEY BLOCK-))"
).search
_UNDERSCORED = re.compile(r"_(?:(?<=[spr]k_)|(?<=gh[pousr]_)|(?<=github_)|(?<=hf_))").search
_WEB_TOKEN = re.compile(r"J(?<=eyJ)").search
_CLOUD = re.compile(r"A(?:KIA|SIA|Iza)").search
_UPPER_CREDENTIAL, _LOWER_CREDENTIAL = (re.compile(rf"{first}(?:earer|asic)\s").search for first in "Bb")


def may_hold_key(text: str) -> bool:
    """Say whether a head may be in the text; no is for certain."""
    # Searching for a character costs 15 ns, a pattern half a nanosecond a character of the text.
    return (
        ("-" in text and _DASHED(text) is not None)
        or ("_" in text and _UNDERSCORED(text) is not None)
        or ("J" in text and _WEB_TOKEN(text) is not None)
        or ("A" in text and "I" in text and _may_name_cloud(text))
        or ("B" in text and _UPPER_CREDENTIAL(text) is not None)
        or ("b" in text and _LOWER_CREDENTIAL(text) is not None)
    )


def _may_name_cloud(text: str) -> bool:
    return ("K" in text or "S" in text or "z" in text) and _CLOUD(text) is not None
