"""Redaction: named rules that run over every text before it is written anywhere.

Law: a match becomes `[name]`, wherever it lies and however long the text is. Each ready-made rule first asks whether a
match is possible at all (a substring search, far cheaper than a scan), and takes time linear in the text. Long texts
are searched window by window (`proxy.finding`), so that the serving thread never waits for more than one of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from proxy.finding import WINDOW, Measure, Rule, replaced
from proxy.secret_keys import KEY, may_hold_key

# The windows of your own patterns, whose matches we do not know, and the longest match that is found anywhere in a
# long text; also the longest text that is asked in one go whether it holds anything.
PIECE = 16 * 1024
OWN_REACH = 4 * 1024

# A run of these is tried once, from its start: the look-behind keeps the search linear in long runs.
_EMAIL = re.compile(r"(?<![\w.%+\-])[\w.%+\-]{1,64}+@(?=[A-Za-z0-9])")
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9\-]{0,62}+\.)+[A-Za-z]{2,24}\b")
# As the domain name system has it.
_LONGEST_DOMAIN = 255
# Eight digits or more in one go, with what people write between them.
_DIGITS = re.compile(r"[0-9][0-9 .()/\-]{6,42}?[0-9]")
# Both begin with what they look for, and look behind it then: a search for a class is the fastest.
_CARD = re.compile(r"[2-6](?<![0-9].)(?:[ \-]?[0-9]){12,18}(?![0-9])")
_GROUP, _NOT_DIGITS = re.compile(r"[0-9]+"), re.compile(r"[^0-9]")
# A digit's value, and the digit sum of twice that, in one look-up a digit.
_VALUES = bytes(char - 48 if 48 <= char < 58 else 0 for char in range(256))
_DOUBLED = bytes(2 * number % 10 + number // 5 if number < 10 else 0 for number in range(256))
# How cards are printed, by the sizes of their groups of digits, and the numbers of groups, most first.
_GROUPINGS = frozenset(
    {(4, 4, 4, 4, 3), (4, 4, 4, 4), (4, 6, 5), (4, 6, 4), *((size,) for size in range(13, 20))}
)
_GROUPED = (5, 4, 3, 1)
_FIRST = frozenset(sizes[0] for sizes in _GROUPINGS)
_PHONE = re.compile(
    r"[+(0-9](?<![\w+.\-/].)(?:"
    r"(?<=\+)[0-9](?:[ .()/\-]{0,2}[0-9]){7,14}"  # international
    r"|(?<=\()[0-9]{2,5}\)[ .\-]?[0-9]{3,4}[ .\-]?[0-9]{3,5}"  # (area) number
    r"|(?<=[0-9])[0-9]{2}[ .\-][0-9]{3}[ .\-][0-9]{4}"  # North America
    # National with trunk prefix, of at least seven digits: 01/2024 is a month.
    r"|(?<=0)(?=(?:[ /\-]?[0-9]){6})[0-9]{1,4}[ /\-][0-9]{2,4}(?:[ \-]?[0-9]{2,4}){1,3}"
    r")(?!\w)"
)


def luhn(digits: str) -> bool:
    """Check the Luhn checksum (ISO/IEC 7812-1) of a string of digits."""
    numbers = digits.encode("ascii").translate(_VALUES)
    return (sum(numbers[-1::-2]) + sum(numbers[-2::-2].translate(_DOUBLED))) % 10 == 0


def _card(_: str, found: re.Match[str]) -> tuple[int, bool]:
    """Take a whole run of digits, or the groups that it begins with where these are grouped as cards are.

    Other numbers may stand before a card or behind it: a quantity, a month, a code.
    """
    run = found[0]
    if luhn(_NOT_DIGITS.sub("", run)):
        return found.end(), True
    groups = _GROUP.findall(run)
    sizes = tuple(map(len, groups))
    for count in _GROUPED:
        if count < len(groups) and sizes[:count] in _GROUPINGS and luhn("".join(groups[:count])):
            # One character stands between two groups.
            return found.start() + sum(sizes[:count]) + count - 1, True
    at = found.start()
    for size, following in pairwise(sizes):
        at += size + 1
        if following in _FIRST:
            return at, False
    return found.end(), False


def _email(text: str, found: re.Match[str]) -> tuple[int, bool]:
    domain = _DOMAIN.match(text, found.end(), found.end() + _LONGEST_DOMAIN)
    return (found.end(), False) if domain is None else (domain.end(), True)


def _own(text: str, found: re.Match[str]) -> tuple[int, bool]:
    # A match that ends where the window does may go on.
    while found.end() == found.endpos < len(text):
        longer = found.re.match(text, found.start(), 2 * found.endpos - found.start())
        if longer is None:
            break
        found = longer
    return max(found.end(), found.start() + 1), found.end() > found.start()


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
    "key": KEY,
    "email": Rule("[email]", _EMAIL, lambda: _email),
    "card": Rule("[card]", _CARD, lambda: _card),
    "phone": Rule("[phone]", _PHONE),
}
# Keys first, because they may hold digits and dots; cards before phones, because a phone may look like half a card.
_GATES: tuple[tuple[Callable[[str], bool], tuple[str, ...]], ...] = (
    (may_hold_key, ("key",)),
    (_may_hold_email, ("email",)),
    (_may_hold_number, ("card", "phone")),
)


class Redactor:
    """Applies the chosen rules in order, each behind its gate, then your own patterns."""

    def __init__(self, ready: Sequence[str], patterns: Mapping[str, str]) -> None:
        gated = [(gate, [READY[name] for name in names if name in ready]) for gate, names in _GATES]
        self._gated = [(gate, rules) for gate, rules in gated if rules]
        self._own = [
            Rule(f"[{name}]", re.compile(pattern), _measuring_own, PIECE, OWN_REACH)
            for name, pattern in patterns.items()
        ]

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
        for possible, rules in self._gated:
            if len(text) <= WINDOW:
                if possible(text):
                    for rule in rules:
                        text = replaced(text, rule)
            else:
                for rule in rules:
                    text = replaced(text, rule, possible)
        for rule in self._own:
            text = replaced(text, rule)
        return text


def _measuring_own() -> Measure:
    return _own
