"""From judgements to events: what each new label says about who gave it.

Law of this file: pure, and one judgement at a time. A label is compared with the gold label where there is one, with
what others said of the same item, and with what the same annotator said of it before; each comparison is one event that
is wrong or right within its stratum (the reference's class), so that everything downstream counts. What `wrong` means
is fixed by a scheme learnt from the first labels: classes differ or not, scores differ by more than a tolerance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median, pstdev
from typing import Literal, NamedTuple

import msgspec

from monitor.labels.coincidence import Level, numeric

Kind = Literal["gold", "peer", "self", "reward", "label"]
# Labels from which a scheme is learnt.
LEARN_FROM = 50
_CLASSES = 7
OTHER = "other"
# Words whose order is known, so that they can be compared with rewards.
_ORDER = {
    **dict.fromkeys(
        ("true", "yes", "good", "up", "thumbs_up", "positive", "correct", "helpful", "accept"), 1.0
    ),
    **dict.fromkeys(("false", "no", "bad", "down", "thumbs_down", "negative", "incorrect", "reject"), 0.0),
}


class Judgement(NamedTuple):
    """A label that somebody gave to an item; `time` in epoch seconds, `reward` where the item has one."""

    item: str
    annotator: str
    label: str
    gold: str | None = None
    time: float = 0.0
    reward: float | None = None


class Earlier(NamedTuple):
    """A label that an item had before."""

    annotator: str
    label: str


class Event(NamedTuple):
    """One comparison. `partner` is the one annotator whose label was the reference, where it was one's alone.

    `echo`: the same comparison seen from the earlier annotator's side; counted for them and not for all.
    """

    time: float
    annotator: str
    kind: Kind
    stratum: str
    label: str
    wrong: bool
    partner: str = ""
    echo: bool = False


class Scheme(msgspec.Struct, frozen=True):
    """How labels are compared: classes, or a scale with cuts and a tolerance."""

    classes: tuple[str, ...] = ()
    cuts: tuple[float, ...] = ()
    tolerance: float = 0.0

    @property
    def level(self) -> Level:
        """The level of measurement for alpha."""
        return "interval" if self.cuts else "nominal"

    @classmethod
    def learn(cls, labels: Sequence[str]) -> Scheme:
        """Learn from labels: a scale where nearly all are numbers of more than three values, else classes."""
        numbers = [value for label in labels if (value := numeric(label)) is not None]
        if len(numbers) >= 0.9 * len(labels) and len(set(numbers)) > 3:
            cuts = {
                c for c in _quartiles(numbers) if 0.05 <= sum(x >= c for x in numbers) / len(numbers) <= 0.95
            }
            return cls((), tuple(sorted(cuts)) or (median(numbers),), pstdev(numbers) / 2)
        return cls(tuple(label for label, _ in Counter(sorted(labels)).most_common(_CLASSES)))

    def differ(self, label: str, reference: str) -> bool:
        """Tell whether two labels differ by more than the scheme tolerates."""
        a, b = numeric(label), numeric(reference)
        if not self.cuts or a is None or b is None:
            return label != reference
        return abs(a - b) > self.tolerance

    def stratum(self, label: str) -> str:
        """Return the class of a label, or its place among the cuts."""
        value = numeric(label)
        if not self.cuts:
            return label if label in self.classes else OTHER
        return OTHER if value is None else f"q{sum(value >= cut for cut in self.cuts)}"

    def indicators(self, label: str) -> dict[str, bool]:
        """Return the yes-or-no questions about a label whose rates are watched."""
        value = numeric(label)
        if self.cuts:
            return {f">={cut:g}": value is not None and value >= cut for cut in self.cuts}
        if len(self.classes) <= 2:
            return {self.classes[0] if self.classes else OTHER: label in self.classes[:1]}
        return {name: label == name for name in self.classes}


def events_of(scheme: Scheme, new: Judgement, earlier: Sequence[Earlier]) -> list[Event]:
    """Return what a new label tells, given the labels that its item had before, in their order."""
    who, label = new.annotator, new.label
    found = [Event(new.time, who, "label", "", label, wrong=False)]
    if new.gold is not None:
        wrong = scheme.differ(label, new.gold)
        found.append(Event(new.time, who, "gold", scheme.stratum(new.gold), label, wrong))
    own = [before.label for before in earlier if who and before.annotator == who]
    if own:
        found.append(Event(new.time, who, "self", "", label, scheme.differ(label, own[-1])))
    else:
        found += _peer_events(scheme, new, [b for b in earlier if not who or b.annotator != who])
    return found


def _peer_events(scheme: Scheme, new: Judgement, others: Sequence[Earlier]) -> list[Event]:
    reference = consensus(scheme, [other.label for other in others])
    if reference is None:
        return []
    wrong = scheme.differ(new.label, reference)
    partner = others[0].annotator if len(others) == 1 else ""
    mine = Event(new.time, new.annotator, "peer", scheme.stratum(reference), new.label, wrong, partner)
    if len(others) > 1:
        return [mine]
    back = scheme.stratum(new.label)
    return [mine, Event(new.time, partner, "peer", back, reference, wrong, new.annotator, echo=True)]


def consensus(scheme: Scheme, labels: Sequence[str]) -> str | None:
    """Return what these labels say together: the median of a scale, else the most frequent; None for a tie."""
    numbers = [value for label in labels if (value := numeric(label)) is not None]
    if scheme.cuts and numbers:
        return f"{median(numbers):g}"
    top = Counter(labels).most_common(2)
    if not top or (len(top) == 2 and top[0][1] == top[1][1]):
        return None
    return top[0][0]


def order(label: str) -> float | None:
    """Return where a label stands between bad and good, where that is known: a number, or a word such as `good`."""
    value = numeric(label)
    return _ORDER.get(label.lower()) if value is None else value


def _quartiles(numbers: Sequence[float]) -> list[float]:
    ordered = sorted(numbers)
    return [ordered[len(ordered) * part // 4] for part in (1, 2, 3)]
