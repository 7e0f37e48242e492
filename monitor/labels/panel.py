"""The panel: all streams of one route's labels under one false-alarm budget.

Law of this file: pure; a panel goes in with new events and comes out. Every stream's wealth may on average grow only as
fast as time passes, so their weighted mean reaches the alarm on average not before the budgeted time, however dependent
they are (Vovk & Wang 2021). Weights are shared by the kinds of events that have come, and within a kind by everybody
together and each annotator; they only ever shrink as more come, which keeps the bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, inf, log

import msgspec

from monitor.labels.judgement import Event, Judgement, Kind, Scheme, order
from monitor.labels.streams import Stream, advance, learn

MINUTES_PER_MONTH = 30 * 24 * 60
# The part of a route's false-alarm budget that is the labels'.
SHARE = 0.05
EVERYBODY = "*"
_WEIGHTS: dict[Kind, float] = {"gold": 0.5, "peer": 0.25, "label": 0.1, "reward": 0.1, "self": 0.05}
# Of a kind that is watched by annotator, the part of everybody together; the rest is shared by the annotators.
_TOGETHER = 0.3
_BY_ANNOTATOR: frozenset[Kind] = frozenset(("gold", "peer"))
# Annotators with streams of their own; the others are in everybody's.
_MOST_ANNOTATORS = 300
# An alarm stands until the log wealth has fallen by so much below it; streams that are as before give theirs up.
_CLEARS = 4.0
# Judgements that wait for one of another label to be compared with by reward.
_MOST_WAITING = 8

# Kind and whose: an annotator, EVERYBODY, or a question about labels.
Key = tuple[str, str]
# Order of a label and reward of its item.
Waiting = tuple[float, float]


class Panel(msgspec.Struct, frozen=True, array_like=True):
    """Scheme (None: not learnt yet), streams, judgements waiting for a pair, and since when an alarm stands."""

    scheme: Scheme | None = None
    streams: dict[Key, Stream] = {}
    waiting: tuple[Waiting, ...] = ()
    judgements: int = 0
    since: float | None = None
    raised_at: float | None = None

    @property
    def alarmed(self) -> bool:
        """Whether an alarm stands."""
        return self.since is not None

    def to_bytes(self) -> bytes:
        """Encode for the store."""
        return msgspec.msgpack.encode(
            (self.scheme, list(self.streams.items()), *msgspec.structs.astuple(self)[2:])
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Panel:
        """Decode. Raises ValueError when the data are damaged."""
        try:
            parts = msgspec.msgpack.decode(data, type=_Encoded)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ValueError(f"damaged label evidence: {error}") from None
        return cls(parts.scheme, dict(parts.streams), *msgspec.structs.astuple(parts)[2:])


class _Encoded(msgspec.Struct, frozen=True, array_like=True):
    scheme: Scheme | None
    streams: list[tuple[Key, Stream]]
    waiting: tuple[Waiting, ...]
    judgements: int
    since: float | None
    raised_at: float | None


def log_alarm(false_alarms_per_month: float, share: float = SHARE) -> float:
    """Return the log wealth, in minutes, at which the labels' part of the budget is spent."""
    return log(MINUTES_PER_MONTH / (false_alarms_per_month * share))


def kind_wealth(panel: Panel) -> dict[Kind, float]:
    """Return the log of each kind's weighted wealth: its part of the total."""
    return _wealth({key: stream.log_wealth() for key, stream in panel.streams.items()})


def richest(panel: Panel) -> Key | None:
    """Return the stream that holds most of the evidence."""
    wealth = {key: stream.log_wealth() for key, stream in panel.streams.items()}
    return max(wealth, key=lambda key: wealth[key], default=None)


def take(panel: Panel, events: Sequence[Event], alarm: float, *, trusted: bool = False) -> Panel:
    """Take in events in their order. `trusted` ones are learnt from and not bet on; `alarm` is a log wealth."""
    fold = Fold(panel, alarm)
    for event in events:
        if trusted:
            fold.learn(event)
        else:
            fold.take(event)
    return fold.panel()


class Fold:
    """A panel while events are added to it, each at a cost that does not grow with what came before."""

    def __init__(self, panel: Panel, alarm: float) -> None:
        self._panel = panel
        self._alarm = alarm
        self._streams = dict(panel.streams)
        self._wealth = {key: stream.log_wealth() for key, stream in self._streams.items()}
        self._judgements = panel.judgements
        self.waiting = panel.waiting
        self.since, self._raised_at = panel.since, panel.raised_at
        # Log of the weighted mean wealth after the last event, to be compared with `alarm`.
        self.total = _log_mean_exp(list(_wealth(self._wealth).values()), 1.0)

    def panel(self) -> Panel:
        """Return the panel as it is now."""
        return Panel(
            self._panel.scheme,
            dict(self._streams),
            self.waiting,
            self._judgements,
            self.since,
            self._raised_at,
        )

    def learn(self, event: Event) -> None:
        """Count an event of a time that is trusted."""
        self._judgements += event.kind == "label"
        for key, hit in self._keys(event):
            self._streams[key] = learn(self._streams.get(key, Stream()), event.stratum, hit=hit)

    def take(self, event: Event) -> None:
        """Bet on an event and see whether that is an alarm, or the end of one."""
        self._judgements += event.kind == "label"
        clustered = event.kind == "label"
        for key, hit in self._keys(event):
            stream = self._streams.get(key, Stream())
            after = advance(stream, event.stratum, hit=hit, now=event.time, clustered=clustered)
            self._streams[key], self._wealth[key] = after, after.log_wealth()
        self.total = total = _log_mean_exp(list(_wealth(self._wealth).values()), 1.0)
        if self.since is None and total >= self._alarm:
            best = max(self._wealth, key=lambda key: self._wealth[key])
            self.since, self._raised_at = self._streams[best].richest_onset(), event.time
        elif self.since is not None:
            self._see_recovery(event)

    def _see_recovery(self, event: Event) -> None:
        """Let go of the evidence of streams that are as they were; without enough of it left the alarm ends."""
        for key, _ in self._keys(event):
            if self._streams[key].recovered:
                self._streams[key], self._wealth[key] = self._streams[key].at_rest(), -inf
        self.total = _log_mean_exp(list(_wealth(self._wealth).values()), 1.0)
        if self.total < self._alarm - _CLEARS:
            self.since = self._raised_at = None

    def _keys(self, event: Event) -> list[tuple[Key, bool]]:
        """Return the streams that an event is of, and whether it is a hit there."""
        kind: str = event.kind
        if event.kind == "label":
            scheme = self._panel.scheme
            asked = scheme.indicators(event.label) if scheme else {}
            signed = [(sign, name, said) for name, said in asked.items() for sign in "+-"]
            return [((kind, f"{sign}{name}"), said == (sign == "+")) for sign, name, said in signed]
        found = [] if event.echo else [((kind, EVERYBODY), event.wrong)]
        if event.kind in _BY_ANNOTATOR and event.annotator:
            key = (kind, event.annotator)
            if key in self._streams or sum(known[0] == kind for known in self._streams) <= _MOST_ANNOTATORS:
                found.append((key, event.wrong))
        return found


def paired_by_reward(waiting: tuple[Waiting, ...], new: Judgement) -> tuple[tuple[Waiting, ...], list[Event]]:
    """Compare a judgement with the last one of another label: whether the reward orders the two as the labels do.

    Each judgement is in at most one pair, so pairs are as independent as judgements are. Returns who waits now.
    """
    place = order(new.label)
    if place is None or new.reward is None:
        return waiting, []
    for i in range(len(waiting) - 1, -1, -1):
        other, reward = waiting[i]
        if other != place and reward != new.reward:
            wrong = (place > other) != (new.reward > reward)
            return waiting[:i] + waiting[i + 1 :], [Event(new.time, "", "reward", "", new.label, wrong)]
    return (*waiting, (place, new.reward))[-_MOST_WAITING:], []


def _wealth(wealth: dict[Key, float]) -> dict[Kind, float]:
    groups: dict[Kind, tuple[list[float], list[float]]] = {}
    for (kind, who), value in wealth.items():
        pooled, own = groups.setdefault(kind, ([], []))  # type: ignore[arg-type]
        (pooled if who == EVERYBODY else own).append(value)
    spent = sum(_WEIGHTS[kind] for kind in groups)
    found: dict[Kind, float] = {}
    for kind, parts in groups.items():
        shares = (_TOGETHER, 1 - _TOGETHER) if all(parts) else (1.0, 1.0)
        both = [
            _log_mean_exp(part, len(part) or 1) + log(share)
            for part, share in zip(parts, shares, strict=True)
        ]
        found[kind] = _log_mean_exp(both, 1.0) + log(_WEIGHTS[kind] / spent)
    return found


def _log_mean_exp(values: Sequence[float], divisor: float) -> float:
    top = max(values, default=-inf)
    if top == -inf:
        return -inf
    return top + log(sum(exp(value - top) for value in values) / divisor)
