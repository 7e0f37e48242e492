"""Redaction: named rules that run over every text before it is written anywhere.

Law: a rule is a function text -> text; a match becomes `[name]`. Each ready-made rule first asks whether a match is
possible at all (a substring search, far cheaper than a scan), and takes time linear in the text. Long texts are
redacted piece by piece, so that the serving thread never waits for more than one piece.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

Rule = Callable[[str], str]

PIECE = 16 * 1024

# A run of these is tried once, from its start: the look-behind keeps the search linear in long runs.
_EMAIL = re.compile(r"(?<![\w.%+\-])[\w.%+\-]{1,64}+@[A-Za-z0-9](?:[A-Za-z0-9\-]{0,62}\.)+[A-Za-z]{2,24}\b")
# Eight digits or more in one go, with what people write between them.
_DIGITS = re.compile(r"[0-9][0-9 .()/\-]{6,}[0-9]")
_CARD = re.compile(r"(?<![0-9])[2-6](?:[ \-]?[0-9]){12,18}(?![0-9])")
_PHONE = re.compile(
    r"(?<![\w+.\-/])(?:"
    r"\+[0-9](?:[ .()/\-]{0,2}[0-9]){7,14}"  # international
    r"|\([0-9]{2,5}\)[ .\-]?[0-9]{3,4}[ .\-]?[0-9]{3,5}"  # (area) number
    r"|[0-9]{3}[ .\-][0-9]{3}[ .\-][0-9]{4}"  # North America
    r"|0[0-9]{1,4}[ /\-][0-9]{2,4}(?:[ \-]?[0-9]{2,4}){1,3}"  # national with trunk prefix
    r")(?![\w])"
)
_KEY = re.compile(
    r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_\-]{16,}"
    r"|\b(?:Bearer|bearer|Basic|basic)\s+[A-Za-z0-9._~+/=\-]{16,}"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}|glpat-[A-Za-z0-9_\-]{20,})"
    r"|\b(?:xox[abeprs]-[A-Za-z0-9\-]{10,}|hf_[A-Za-z0-9]{30,}|AIza[A-Za-z0-9_\-]{35})"
    r"|\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*"  # JSON web token
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?"
)
# A character that is rare in prose, and how a key looks around it. Each pattern begins with that very character, so
# that the search for it runs at the speed of memory; what stands before it is looked at only where it was found.
_DASHED = re.compile(r"-(?:(?<=[spr]k-)|(?<=xox[abeprs]-)|(?<=glpat-)|(?<=PRIVATE KEY-))").search
_UNDERSCORED = re.compile(r"_(?:(?<=[spr]k_)|(?<=gh[pousr]_)|(?<=github_)|(?<=hf_))").search
_WEB_TOKEN = re.compile(r"J(?<=eyJ)").search
_CLOUD = re.compile(r"A(?:KIA|SIA|Iza)").search
_UPPER_CREDENTIAL, _LOWER_CREDENTIAL = (re.compile(rf"{first}(?:earer|asic)\s").search for first in "Bb")


def luhn(digits: str) -> bool:
    """Check the Luhn checksum (ISO/IEC 7812-1) of a string of digits."""
    total = 0
    for i, char in enumerate(reversed(digits)):
        number = int(char) * (2 if i % 2 else 1)
        total += number - 9 if number > 9 else number
    return total % 10 == 0


def _card_or_not(found: re.Match[str]) -> str:
    digits = found[0].replace(" ", "").replace("-", "")
    return "[card]" if luhn(digits) else found[0]


def _may_hold_key(text: str) -> bool:
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


def _may_hold_email(text: str) -> bool:
    return "@" in text


def _may_hold_number(text: str) -> bool:
    # Ten searches for a character cost a fifth of one scan for a class, and most texts have no digit.
    return (
        "0" in text
        or "1" in text
        or "2" in text
        or "3" in text
        or "4" in text
        or "5" in text
        or "6" in text
        or "7" in text
        or "8" in text
        or "9" in text
    ) and _DIGITS.search(text) is not None


READY: dict[str, Rule] = {
    "key": lambda text: _KEY.sub("[key]", text),
    "email": lambda text: _EMAIL.sub("[email]", text),
    "card": lambda text: _CARD.sub(_card_or_not, text),
    "phone": lambda text: _PHONE.sub("[phone]", text),
}
# Keys first, because they may hold digits and dots; cards before phones, because a phone may look like half a card.
_GATES: tuple[tuple[Callable[[str], bool], tuple[str, ...]], ...] = (
    (_may_hold_key, ("key",)),
    (_may_hold_email, ("email",)),
    (_may_hold_number, ("card", "phone")),
)


class Redactor:
    """Applies the chosen rules in order, each behind its gate, then your own patterns."""

    def __init__(self, ready: Sequence[str], patterns: Mapping[str, str]) -> None:
        gated = [(gate, [READY[name] for name in names if name in ready]) for gate, names in _GATES]
        self._gated = [(gate, rules) for gate, rules in gated if rules]
        self._own = [_own(name, pattern) for name, pattern in patterns.items()]

    def may_change(self, together: str) -> bool:
        """Tell whether any of the texts that stand here line by line shows a sign of a match; False is for certain.

        Asking once for an exchange costs a third of asking for each of its texts.
        """
        if self._own or len(together) > PIECE:
            return True
        for possible, _ in self._gated:  # noqa: SIM110 - a generator costs more than all that it asks
            if possible(together):
                return True
        return False

    def __call__(self, text: str) -> str:
        """Return the text with every match replaced."""
        if len(text) > PIECE:
            return "".join(self._apply(piece) for piece in pieces(text))
        return self._apply(text)

    def _apply(self, text: str) -> str:
        for possible, rules in self._gated:
            if possible(text):
                for rule in rules:
                    text = rule(text)
        for rule in self._own:
            text = rule(text)
        return text


def _own(name: str, pattern: str) -> Rule:
    compiled, replacement = re.compile(pattern), f"[{name}]"
    return lambda text: compiled.sub(lambda _: replacement, text)


# A place that no match spans: a line's end, or a space between two words of lower-case letters.
_CUT = re.compile(r"\n|(?<=[a-z])(?<!earer)(?<!asic) (?=[a-z])")


def pieces(text: str, size: int = PIECE) -> list[str]:
    """Cut a long text where no match can be; together the pieces are the text. Without such a place: one piece."""
    found, start = [], 0
    while len(text) - start > size:
        cut = _CUT.search(text, start + size)
        if cut is None:
            break
        found.append(text[start : cut.end()])
        start = cut.end()
    return [*found, text[start:]]
