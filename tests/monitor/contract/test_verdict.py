"""Verdicts cross the bus with everything that explains them."""

from __future__ import annotations

import msgspec
import pytest

from monitor.contract import (
    Attribution,
    Cause,
    Direction,
    Exemplar,
    Progress,
    Shift,
    Signal,
    Tier,
    Verdict,
    decode_verdicts,
    encode_verdicts,
)

SIGNAL = Signal(
    value=0.3,
    tier=Tier.CRITICAL,
    unit="bits",
    null_mean=0.01,
    null_high=0.03,
    p_value=1e-9,
    effect=0.3,
    interval=(0.2, 0.4),
    note="n",
)
FULL = Verdict(
    route="r", arm="control", tier=Tier.CRITICAL, time=5.0, drifted=True, direction=Direction.DEGRADED,
    cause=Cause.MODEL, n={"baseline": 10, "window": 5}, since=3.0, baseline="b1", headline="h", reasons=("x", "y"),
    caveats=("c",), signals={"response_js": SIGNAL},
    attribution=Attribution(mix=0.1, behaviour=-0.2, unsupported=0.0, intervals={"mix": (0.0, 0.2)}),
    shifts=(Shift(kind="style", name="length", baseline=1.0, window=2.0, exemplars=(Exemplar(id="e", prompt="p"),)),),
    progress=Progress(have=1, need=2),
)  # fmt: skip


def test_every_field_comes_back():
    """Full and empty."""
    bare = Verdict(route="r", arm="control", tier=Tier.LEARNING, time=0.0)
    assert decode_verdicts(encode_verdicts([FULL, bare])) == [FULL, bare]
    assert decode_verdicts(encode_verdicts([])) == []


def test_words_are_plain_strings_on_the_wire():
    """Other programs read them."""
    document = msgspec.json.decode(msgspec.json.encode(FULL))
    assert (document["tier"], document["direction"], document["cause"]) == ("critical", "degraded", "model")


def test_tiers_are_ordered_by_concern():
    """Worst of several signals; not knowing is not on the scale."""
    assert [tier.value for tier in sorted(Tier, key=lambda tier: tier.concern)][2:] == [
        "ok",
        "improved",
        "minor",
        "critical",
    ]
    assert {Tier.LEARNING.concern, Tier.BLIND.concern, Tier.OK.concern} == {0}


def test_damage_is_refused():
    """With the one error that readers expect."""
    with pytest.raises(msgspec.DecodeError):
        decode_verdicts(encode_verdicts([FULL])[:-1])
    with pytest.raises(msgspec.DecodeError):
        decode_verdicts(msgspec.msgpack.encode([{"route": "r", "arm": "a", "tier": "purple", "time": 0.0}]))
