"""The verdict: the judgement of one (route, arm) now, with everything needed to explain it.

The order of `Tier` is the order of concern. `learning` and `blind` are not on that scale: they say that no
judgement is possible, and are never reported as `ok`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec


class Tier(StrEnum):
    """The judgement in one word."""

    LEARNING = "learning"
    BLIND = "blind"
    OK = "ok"
    IMPROVED = "improved"
    MINOR = "minor"
    CRITICAL = "critical"

    @property
    def concern(self) -> int:
        """Rank for taking the worst of several signals: ok 0, improved 1, minor 2, critical 3."""
        return _CONCERN[self]


_CONCERN = {Tier.LEARNING: 0, Tier.BLIND: 0, Tier.OK: 0, Tier.IMPROVED: 1, Tier.MINOR: 2, Tier.CRITICAL: 3}


class Direction(StrEnum):
    """Whether the change is for the worse or the better, as far as the signals can tell."""

    DEGRADED = "degraded"
    IMPROVED = "improved"
    NEUTRAL = "neutral"


class Cause(StrEnum):
    """What changed: who asks, who answers, how well it was recorded, or who scores."""

    TRAFFIC = "traffic"
    MODEL = "model"
    DATA_QUALITY = "data_quality"
    SCORER = "scorer"
    NONE = "none"
    UNCERTAIN = "uncertain"


Interval = tuple[float, float]


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """One number compared with the baseline, and its evidence.

    `value` is in the signal's own unit (`unit`); `null_mean` and `null_high` are what a window of this size shows
    without any drift (mean and 99.9 % point). `effect` is what the tier's threshold is compared with: the native
    effect (JS, share, relative reward change) or a standardised one. `interval` covers the effect at 95 %.
    `p_value` is of a single look.
    """

    value: float
    tier: Tier
    unit: str = ""
    null_mean: float | None = None
    null_high: float | None = None
    baseline_mean: float | None = None
    window_mean: float | None = None
    p_value: float | None = None
    effect: float | None = None
    interval: Interval | None = None
    note: str = ""


class Exemplar(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A redacted excerpt that shows what a reason is about."""

    id: str
    prompt: str
    response: str | None = None


class Anomaly(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A single exchange unlike the baseline's: the share of those that are as unusual, why, and redacted excerpts."""

    id: str
    p_value: float
    reasons: tuple[str, ...]
    prompt: str
    response: str | None = None


class Shift(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of the traffic or of the answers that moved, in words: a cluster or a style feature."""

    kind: str  # "prompt_cluster" | "new_cluster" | "response_cluster" | "style"
    name: str
    baseline: float
    window: float
    interval: Interval | None = None
    terms: tuple[str, ...] = ()
    exemplars: tuple[Exemplar, ...] = ()


class Attribution(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The reward change split into its parts, each in reward units.

    `mix`: the questions changed. `behaviour`: the same questions are answered differently. `unsupported`: questions
    the baseline never saw, for which nothing can be attributed.
    """

    mix: float
    behaviour: float
    unsupported: float
    intervals: dict[str, Interval] = msgspec.field(default_factory=dict)


class LabelCause(StrEnum):
    """Why labels changed: who gives them, by which rules, of what, or the rewards they are compared with."""

    ANNOTATOR = "annotator"
    GUIDELINE = "guideline"
    TASK = "task"
    SCORER = "scorer"
    NONE = "none"
    UNCERTAIN = "uncertain"


class Annotator(msgspec.Struct, frozen=True, kw_only=True):
    """How one annotator did before and since: share of right labels against `against` (gold or peer)."""

    name: str
    against: str
    baseline: float | None
    window: float | None
    n: int
    moved: bool


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """The judgement of the people (or judge models) who label, apart from that of the model they label.

    Fields are those of `Verdict`; `n` counts judgements (`baseline`, `window`), `items`, `annotators` and `gold`.
    """

    tier: Tier
    drifted: bool = False
    direction: Direction = Direction.NEUTRAL
    cause: LabelCause = LabelCause.NONE
    n: dict[str, int] = msgspec.field(default_factory=dict)
    since: float | None = None
    p_value: float | None = None
    headline: str = ""
    reasons: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    signals: dict[str, Signal] = msgspec.field(default_factory=dict)
    annotators: tuple[Annotator, ...] = ()


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far learning a baseline has come, in exchanges and in hours of traffic (0 needed: only exchanges count)."""

    have: int
    need: int
    hours: float = 0.0
    need_hours: float = 0.0

    @property
    def share(self) -> float:
        """How much of what is needed is there, in [0, 1]: of exchanges or of hours, whichever is less."""
        hours = self.hours / self.need_hours if self.need_hours else 1.0
        return min(self.have / max(1, self.need), hours)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The judgement of one (route, arm).

    `drifted` is the evidence alone, whatever the size of the effect; `tier` needs both. `since` is the estimated
    onset (epoch seconds). `n` counts exchanges: `baseline` and `window`. `time` is when it was decided.
    """

    route: str
    arm: str
    tier: Tier
    time: float
    drifted: bool = False
    direction: Direction = Direction.NEUTRAL
    cause: Cause = Cause.NONE
    n: dict[str, int] = msgspec.field(default_factory=dict)
    since: float | None = None
    baseline: str | None = None
    # One sentence for the person on call.
    headline: str = ""
    reasons: tuple[str, ...] = ()
    # What this many exchanges can and cannot show, and other honest limits.
    caveats: tuple[str, ...] = ()
    signals: dict[str, Signal] = msgspec.field(default_factory=dict)
    attribution: Attribution | None = None
    shifts: tuple[Shift, ...] = ()
    progress: Progress | None = None
    # What people's labels say of the people, where there are labels; its tier is its own.
    labels: Labels | None = None
    # The most unusual single exchanges, where a file was judged; live ones are in the review queue.
    anomalies: tuple[Anomaly, ...] = ()


def without_words(verdict: Verdict) -> Verdict:
    """Leave out what quotes users (what moved, in words and examples) and names people who label."""
    return msgspec.structs.replace(verdict, shifts=(), labels=None, anomalies=())


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Verdict])


def encode_verdicts(verdicts: Sequence[Verdict]) -> bytes:
    """Encode verdicts for the bus (msgpack)."""
    return _encoder.encode(verdicts)


def decode_verdicts(payload: bytes) -> list[Verdict]:
    """Decode verdicts from the bus. Raises msgspec.DecodeError when the payload is damaged."""
    try:
        return _decoder.decode(payload)
    except UnicodeDecodeError as error:  # msgspec's own error stops at the text's bytes
        raise msgspec.DecodeError(f"verdicts with damaged text: {error}") from error
