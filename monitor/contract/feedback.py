"""Feedback: what a person, or a judge model, says of one exchange.

Law of this file: values and their reading only. A feedback names an exchange as `Drift-Exchange` did, and who judged;
its label is text, whether it was given as a word, a number, a yes or no, or a score. The same reading serves the HTTP
endpoint and files, and everything wrong with one is a ValueError of one line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

_LONGEST = 256
# Epoch seconds beyond this lie after the year 5000: such a number counts milliseconds.
_MILLISECONDS_FROM = 1e11
_NUMBER = re.compile(r"[-+]?\d{1,15}(\.\d{1,15})?")
_KNOWN = frozenset(
    ("exchange", "id", "annotator", "label", "score", "gold", "time", "route", "item", "reward", "cell")
)


class Feedback(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One judgement of one exchange.

    `label` is a word or a number as text. `gold` is the label that is known to be right, where it is. `item` names what
    was judged where several exchanges show the same thing; empty: the exchange itself. `time` is when it was judged,
    in epoch seconds, 0 where it was not said. An empty `annotator` is somebody unknown, such as an end user.
    """

    exchange: str
    label: str
    annotator: str = ""
    gold: str | None = None
    time: float = 0.0
    route: str = ""
    item: str = ""
    # The reward of the exchange where the sender knows it; else the monitor's own.
    reward: float | None = None


def read_feedback(values: Mapping[str, Any]) -> Feedback:
    """Read one feedback from a mapping of JSON or of a table's row. Raises ValueError of one line.

    Keys are those of `Feedback`; `id` stands for `exchange` too, `score` for a label that is a number, and `cell`
    ("gold>label") for gold and label together. An empty text is the same as no value. Unknown keys are left alone.
    """
    given = {
        key: value for key, value in values.items() if key in _KNOWN and value is not None and value != ""
    }
    exchange = _text(given, "exchange" if "exchange" in given else "id")
    if exchange is None:
        raise ValueError("needs `exchange`, as the header Drift-Exchange gave it")
    label = label_text(given.get("label", given.get("score")), "label")
    gold = label_text(given.get("gold"), "gold")
    cell = _text(given, "cell")
    if cell is not None:
        before, arrow, after = cell.partition(">")
        if not (arrow and before and after):
            raise ValueError(f"cell: got {cell!r}; expected gold>label")
        gold, label = gold or before.strip(), label or after.strip()
    if label is None:
        raise ValueError("needs `label` or `score`")
    return Feedback(
        exchange=exchange,
        label=label,
        annotator=_text(given, "annotator") or "",
        gold=gold,
        time=epoch_seconds(given.get("time")),
        route=_text(given, "route") or "",
        item=_text(given, "item") or "",
        reward=_number(given, "reward"),
    )


def label_text(value: Any, name: str = "label") -> str | None:
    """Return a label as text: yes and no as `true` and `false`, fractions to three digits. Raises ValueError.

    Three digits, so that scores from a scale without steps still meet each other in a table; 4 and "4.0" are the same.
    """
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise ValueError(f"{name}: got {value}; expected a finite number")
        return str(int(value)) if float(value).is_integer() else f"{value:.3g}"
    if not isinstance(value, str):
        raise ValueError(f"{name}: expected text or a number")  # noqa: TRY004 - one kind of bad feedback
    text = " ".join(value.split())
    if _NUMBER.fullmatch(text):
        return label_text(float(text), name)
    if len(text) > _LONGEST:
        raise ValueError(f"{name}: is longer than {_LONGEST} characters")
    return text.encode("utf-8", "replace").decode() or None


def epoch_seconds(value: Any) -> float:
    """Read epoch seconds (or milliseconds) or ISO 8601, UTC where no zone is given; 0 for nothing. Raises ValueError."""
    if value is None:
        return 0.0
    wrong = ValueError(f"time: got {str(value)[:40]!r}; expected epoch seconds or ISO 8601")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise wrong
    try:
        number = float(value)
    except ValueError:
        try:
            moment = datetime.fromisoformat(str(value).strip())
            return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
        except (ValueError, OverflowError):
            raise wrong from None
    if not 0.0 <= number < 1e14:
        raise wrong
    return number / 1000.0 if number >= _MILLISECONDS_FROM else number


def _text(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{name}: expected text")  # noqa: TRY004 - one kind of bad feedback
    text = str(value).strip().encode("utf-8", "replace").decode()
    if len(text) > _LONGEST:
        raise ValueError(f"{name}: is longer than {_LONGEST} characters")
    return text or None


def _number(values: Mapping[str, Any], name: str) -> float | None:
    value = values.get(name)
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name}: got {str(value)[:40]!r}; expected a finite number")
    return number
