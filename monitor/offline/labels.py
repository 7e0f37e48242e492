"""Labels in files of exchanges: the label verdict of `compare`, and along the stream of `backtest`.

What two labels are of the same item is said by `item`, or else by the same prompt and response. The test of the
labels takes half of the level of `compare`, and only where there are labels on both sides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import inf

import msgspec

from monitor.contract import Cause, Direction, Exchange, LabelCause, Labels, Tier, Verdict
from monitor.contract.config import Detection
from monitor.contract.messages import short_hash
from monitor.labels.contradiction import borne_out
from monitor.labels.contrast import Tested, contrast, sides
from monitor.labels.judgement import Earlier, Event, Judgement, Scheme, events_of
from monitor.labels.measures import Side
from monitor.labels.panel import Fold, Panel, log_alarm, paired_by_reward
from monitor.labels.verdict import FEWEST, Found, found_live, label_verdict
from monitor.sketch.scored import Scored

# The part of the level of `compare` that the labels have.
LEVEL = 0.5


def judgements(scored: Scored) -> list[Judgement]:
    """Return the labels of exchanges, in their order."""
    return [
        Judgement(
            item=exchange.item or short_hash(f"{exchange.prompt}\0{exchange.response}"),
            annotator=exchange.annotator or "",
            label=exchange.label,
            gold=exchange.gold,
            time=exchange.time,
            reward=None if reward != reward else float(reward),  # noqa: PLR0124 - not a number: not scored
        )
        for exchange, reward in zip(scored.exchanges, scored.reward, strict=True)
        if exchange.label is not None
    ]


def labelled_rows(exchanges: Sequence[Exchange]) -> list[int]:
    """Return the rows that carry a label, one for each judgement."""
    return [row for row, exchange in enumerate(exchanges) if exchange.label is not None]


def labelled(baseline: Sequence[Exchange], window: Sequence[Exchange]) -> bool:
    """Tell whether both sides carry labels enough to compare them."""
    return all(len(labelled_rows(side)) >= FEWEST for side in (baseline, window))


def compare_labels(
    baseline: Scored, window: Scored, *, alpha: float, settings: Detection, texts_moved: bool
) -> Labels:
    """Return the verdict on the labels of `window` against those of `baseline`, at level `alpha`."""
    old, new = judgements(baseline), judgements(window)
    scheme = Scheme.learn([judgement.label for judgement in old])
    tested = contrast(scheme, old, new)
    before, after = sides(scheme, old, new)
    return label_verdict(
        scheme,
        before,
        after,
        found_once(tested, alpha),
        thresholds=settings.thresholds,
        texts_moved=texts_moved,
    )


def found_once(tested: Tested, alpha: float) -> Found:
    """Return what one look at level `alpha` says."""
    drifted = tested.p_value <= alpha
    least = min(tested.kinds.values(), default=1.0)
    shown = (
        frozenset(kind for kind, p in tested.kinds.items() if p <= max(alpha, least))
        if drifted
        else frozenset()
    )
    return Found(drifted, shown, tested.p_value, same_items=tested.same_items <= alpha)


def with_labels(verdict: Verdict, labels: Labels) -> Verdict:
    """Put the labels' verdict beside that of the exchanges.

    Where only the labels moved, or they alone by enough to matter, `drifted` says so, someone should look (`minor`), and the cause is who scores: the
    people do. What the labels show of the model is left to the rest of the verdict.
    """
    signals = {
        **verdict.signals,
        **{name: s for name, s in labels.signals.items() if name not in verdict.signals},
    }
    verdict = borne_out(msgspec.structs.replace(verdict, labels=labels, signals=signals))
    told = verdict.drifted and (verdict.tier.concern or not labels.tier.concern)
    if told or not labels.drifted or verdict.tier in {Tier.BLIND, Tier.LEARNING}:
        return verdict
    worse = labels.direction is Direction.DEGRADED
    return msgspec.structs.replace(
        verdict,
        drifted=True,
        tier=Tier.MINOR if labels.tier.concern else verdict.tier,
        cause=cause_of(labels),
        direction=Direction.DEGRADED if worse else verdict.direction,
        headline=f"{verdict.route}: {labels.headline}",
        reasons=(*labels.reasons, *verdict.reasons),
    )


def cause_of(labels: Labels) -> Cause:
    """Return the cause in the words that verdicts on exchanges have: people who judge otherwise are another scorer."""
    if not labels.drifted:
        return Cause.NONE
    by_people = labels.cause in {LabelCause.ANNOTATOR, LabelCause.GUIDELINE, LabelCause.SCORER}
    return Cause.SCORER if by_people else Cause.UNCERTAIN


class LabelStream:
    """The labels along a recorded stream: learnt from a baseline's, then judged as they come."""

    def __init__(self, baseline: Scored, settings: Detection) -> None:
        old = judgements(baseline)
        self.scheme = Scheme.learn([judgement.label for judgement in old]) if old else None
        self._settings = settings
        self._alarm = log_alarm(settings.label_false_alarms_per_month)
        self._fold = Fold(Panel(self.scheme), self._alarm)
        self._labels: dict[str, list[Earlier]] = defaultdict(list)
        self._events: list[Event] = []
        self._before: list[Judgement] = old
        self._after: list[Judgement] = []
        for judgement in old:
            self._add(judgement, trusted=True)

    @property
    def drifted(self) -> bool:
        """Whether an alarm stands."""
        return self._fold.since is not None

    def changes(self, stream: Scored, *, texts_moved: bool) -> Iterator[tuple[int, Labels]]:
        """Take in the labels of a stream; yield the row and the verdict each time that `drifted` changes."""
        rows = labelled_rows(stream.exchanges)
        for judgement, row in zip(judgements(stream), rows, strict=True):
            if self.step(judgement):
                yield row, self.verdict(texts_moved=texts_moved)

    def step(self, judgement: Judgement) -> bool:
        """Take in a label; return whether `drifted` has changed."""
        before = self.drifted
        self._after.append(judgement)
        self._add(judgement, trusted=False)
        return self.drifted != before

    def verdict(self, *, texts_moved: bool) -> Labels:
        """Return the verdict now: what came since the change against all before, or the stream against the baseline."""
        found = found_live(self._fold.panel(), self._alarm, self._events)
        since = -inf if found.since is None else found.since
        if found.since is not None and self._after:
            found = found._replace(since=max(found.since, self._after[0].time))
        new = [judgement for judgement in self._after if judgement.time >= since]
        old = [*self._before, *(judgement for judgement in self._after if judgement.time < since)]
        before, after = sides(self.scheme or Scheme(), old, new)
        own = [event for event in self._events if event.time >= since and event.time > -inf]
        after = Side(own, after.blocks)
        return label_verdict(
            self.scheme, before, after, found, thresholds=self._settings.thresholds, texts_moved=texts_moved
        )

    def _add(self, judgement: Judgement, *, trusted: bool) -> None:
        if self.scheme is None:
            return
        events = events_of(self.scheme, judgement, self._labels[judgement.item])
        self._labels[judgement.item].append(Earlier(judgement.annotator, judgement.label))
        self._fold.waiting, pair = paired_by_reward(self._fold.waiting, judgement)
        for event in (*events, *pair):
            if trusted:
                self._fold.learn(event)
            else:
                self._fold.take(event)
            self._events.append(event._replace(time=-inf) if trusted else event)
