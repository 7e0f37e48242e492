"""Who changed: one annotator, the guideline, the task, or the rewards that labels are compared with.

Law of this file: pure. Each hypothesis is a marginal likelihood of counts of wrong labels by stratum, before and after
(beta-binomial, flat prior): a change in the annotator who changed most, and in the others together. If the others
changed too, the guideline did; if only labels' shares moved and nobody's agreement, what is labelled did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from math import exp, inf, lgamma, log, nextafter
from typing import NamedTuple

from monitor.contract import Annotator, LabelCause
from monitor.labels.judgement import Event, Kind, Scheme
from monitor.labels.measures import Side
from monitor.labels.panel import EVERYBODY, Key, Panel, richest

_FEWEST = 12
# Newest events of a stream among which its change is looked for, and fewest since.
_SCANNED, _FEWEST_SINCE = 10_000, 5
# Part of the later labels that come from annotators who gave none before.
_MOSTLY_NEW = 0.5
_SHOWN = 6


class Diagnosis(NamedTuple):
    """The cause, who moved, and the cell of gold and label that rose most."""

    cause: LabelCause
    annotators: tuple[Annotator, ...]
    cell: str = ""


def diagnose(
    before: Side, after: Side, kinds: Collection[Kind], *, same_items: bool = False, texts_moved: bool = False
) -> Diagnosis:
    """Return why labels moved, given the kinds of events whose evidence stands.

    `same_items`: the labels of the same items moved. `texts_moved`: what is labelled is known to have changed.
    """
    if not kinds:
        return Diagnosis(LabelCause.NONE, ())
    against: Kind = "gold" if len(after.of("gold")) >= _FEWEST else "peer"
    shown = tuple(_annotators(before.of(against, echo=True), after.of(against, echo=True), against))
    old, new = ([*side.of("gold"), *side.of("peer", echo=True)] for side in (before, after))
    cell = _cell(before.of("gold"), after.of("gold"))
    if set(kinds) == {"reward"}:
        return Diagnosis(LabelCause.SCORER, shown)
    judged = bool(set(kinds) & {"gold", "peer"})
    if _newcomers(before, after) >= _MOSTLY_NEW:
        return Diagnosis(_of_newcomers(before, old, new), shown, cell)
    if judged:
        return Diagnosis(one_or_all(old, new), shown, cell)
    return Diagnosis(_of_shares(before, after, same_items=same_items, texts_moved=texts_moved), shown, cell)


def one_or_all(old: Sequence[Event], new: Sequence[Event]) -> LabelCause:
    """Tell one annotator's change from everybody's; uncertain where there is nobody to tell it by."""
    names = sorted({event.annotator for event in new if event.annotator})
    evidence = {name: change(_by(old, name), _by(new, name)) for name in names}
    if not evidence:
        return LabelCause.UNCERTAIN
    top = max(evidence, key=lambda name: evidence[name])
    rest_old, rest_new = (
        [e for e in side if top not in (e.annotator, e.partner) and not e.echo] for side in (old, new)
    )
    if len(rest_new) < _FEWEST:
        return LabelCause.UNCERTAIN
    if change(rest_old, rest_new) > 0:
        return LabelCause.GUIDELINE
    if evidence[top] > 0:
        return LabelCause.ANNOTATOR
    everybody = [[event for event in side if not event.echo] for side in (old, new)]
    return LabelCause.GUIDELINE if change(*everybody) > 0 else LabelCause.UNCERTAIN


def onset(panel: Panel, events: Sequence[Event]) -> float | None:
    """Return when the stream with most evidence most likely changed (epoch seconds), None where none has evidence.

    The likeliest of all ways to part its newest events in two; the wealth alone begins to rise too early or too late.
    """
    key = richest(panel)
    if key is None or panel.scheme is None:
        return None
    own = _of_stream(panel.scheme, key, events)[-_SCANNED:]
    n, wrong = Counter(event.stratum for event in own), Counter(event.stratum for event in own if event.wrong)
    total = {stratum: _evidence(wrong[stratum], n[stratum]) for stratum in n}
    parts: dict[str, tuple[int, int]] = {}
    best, at, score = 0.0, None, dict.fromkeys(n, 0.0)
    for event in own[:-_FEWEST_SINCE]:
        s = event.stratum
        m, a = parts.get(s, (0, 0))
        parts[s] = m, a = m + 1, a + event.wrong
        score[s] = _evidence(a, m) + _evidence(wrong[s] - a, n[s] - m) - total[s]
        likelihood = sum(score.values())
        if likelihood > best:
            best, at = likelihood, event.time
    return None if at is None else nextafter(at, inf)


def _of_stream(scheme: Scheme, key: Key, events: Sequence[Event]) -> list[Event]:
    """Return the events that a stream was made of, in their order."""
    kind, who = key
    if kind == "label":
        name, hit = who[1:], who[0] == "+"
        labels = [event for event in events if event.kind == "label"]
        return [e._replace(wrong=scheme.indicators(e.label).get(name, False) == hit) for e in labels]
    everybody = who == EVERYBODY
    return [e for e in events if e.kind == kind and (not e.echo if everybody else e.annotator == who)]


def change(old: Sequence[Event], new: Sequence[Event]) -> float:
    """Return the log Bayes factor of the share of wrong labels having changed, against its being the same.

    It may have changed in one stratum or in all of a kind of comparison: each has the same prior weight.
    """
    was, now = (_table(side) for side in (old, new))
    single: list[float] = []
    whole: dict[Kind, float] = {}
    for key in {*was, *now}:
        (m, a), (n, b) = was.get(key, (0, 0)), now.get(key, (0, 0))
        if m and n:
            factor = _evidence(a, m) + _evidence(b, n) - _evidence(a + b, m + n)
            single.append(factor)
            whole[key[0]] = whole.get(key[0], 0.0) + factor
    found = [*single, *whole.values()]
    if not found:
        return 0.0
    top = max(found)
    return top + log(sum(exp(value - top) for value in found) / len(found))


def _table(events: Sequence[Event]) -> dict[tuple[Kind, str], tuple[int, int]]:
    """Return (kind, stratum) -> (events, wrong ones)."""
    n = Counter((e.kind, e.stratum) for e in events)
    wrong = Counter((e.kind, e.stratum) for e in events if e.wrong)
    return {key: (n[key], wrong[key]) for key in n}


def _evidence(wrong: int, n: int) -> float:
    return lgamma(wrong + 1) + lgamma(n - wrong + 1) - lgamma(n + 2)


def _by(events: Sequence[Event], name: str) -> list[Event]:
    return [event for event in events if event.annotator == name]


def _known(before: Side) -> set[str]:
    """Return who gave labels before; the onset is an estimate, so the first few of a newcomer may lie before it."""
    given = Counter(event.annotator for event in before.of("label"))
    return {name for name, n in given.items() if n >= _FEWEST}


def _newcomers(before: Side, after: Side) -> float:
    """Return the share of later labels by annotators, named on both sides, who gave none before."""
    known = _known(before)
    later = [event.annotator for event in after.of("label")]
    if not later or not known - {""}:
        return 0.0
    return sum(bool(name) and name not in known for name in later) / len(later)


def _of_newcomers(before: Side, old: Sequence[Event], new: Sequence[Event]) -> LabelCause:
    """Blame newcomers, unless those who stayed changed as well."""
    known = _known(before)
    stayed_old, stayed_new = ([e for e in side if e.annotator in known and not e.echo] for side in (old, new))
    if len(stayed_new) >= _FEWEST and change(stayed_old, stayed_new) > 1.0:
        return LabelCause.GUIDELINE
    return LabelCause.ANNOTATOR


def _of_shares(before: Side, after: Side, *, same_items: bool, texts_moved: bool) -> LabelCause:
    """Judge a shift of labels that no comparison with gold labels or peers explains."""
    if texts_moved and not same_items:
        return LabelCause.TASK
    old, new = _as_shares(before.of("label"), after.of("label"))
    named = {event.annotator for event in new if event.annotator}
    one = one_or_all(old, new) if len(named) > 1 else LabelCause.UNCERTAIN
    if one is LabelCause.ANNOTATOR or same_items:
        return one
    right = len(after.of("gold")) >= 2 * _FEWEST and change(before.of("gold"), after.of("gold")) <= 0
    return LabelCause.TASK if right else LabelCause.UNCERTAIN


def _as_shares(old: Sequence[Event], new: Sequence[Event]) -> tuple[list[Event], list[Event]]:
    """Mark as `wrong` the label whose share moved most, so that a shift can be asked after like an error."""
    was, now = (Counter(event.label for event in side) for side in (old, new))
    if not old or not new:
        return [], []
    top = max(sorted({*was, *now}), key=lambda name: abs(now[name] / len(new) - was[name] / len(old)))
    marked = [[event._replace(wrong=event.label == top) for event in side] for side in (old, new)]
    return marked[0], marked[1]


def _annotators(old: Sequence[Event], new: Sequence[Event], against: str) -> list[Annotator]:
    """Return those who moved most, the clearest first."""
    found = []
    for name in sorted({event.annotator for event in new if event.annotator}):
        was, now = _by(old, name), _by(new, name)
        moved = change(was, now)
        found.append((moved, _annotator(name, was, now, against, moved=moved > 1.0)))
    return [row for _, row in sorted(found, key=lambda pair: (-pair[0], -pair[1].n, pair[1].name))[:_SHOWN]]


def _annotator(
    name: str, was: Sequence[Event], now: Sequence[Event], against: str, *, moved: bool
) -> Annotator:
    right = [sum(not e.wrong for e in side) / len(side) if side else None for side in (was, now)]
    return Annotator(name=name, against=against, baseline=right[0], window=right[1], n=len(now), moved=moved)


def _cell(old: Sequence[Event], new: Sequence[Event]) -> str:
    """Return the confusion of gold and label whose share rose most, as `gold>label`."""
    was, now = (Counter((e.stratum, e.label) for e in side if e.wrong) for side in (old, new))
    if not now or not old:
        return ""
    top = max(sorted(now), key=lambda cell: now[cell] / len(new) - was[cell] / len(old))
    return f"{top[0]}>{top[1]}"
