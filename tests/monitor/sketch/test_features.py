"""Every exchange is put where it belongs: judged, counted as broken, or left out."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from monitor.contract import Exchange
from monitor.sketch.features import Features, extract
from monitor.sketch.scored import Scored


def one(refusal: str | None = None, **fields: object) -> Features:
    """Extract the features of one exchange; the scorer refuses it where `refusal` says why."""
    exchange = msgspec.convert(
        {"id": "a", "time": 1.0, "prompt": "Why?", "response": "Because.", **fields}, Exchange
    )
    vector = np.ones((1, 4), dtype=np.float32) / 2
    response = vector if exchange.response and exchange.response.strip() else np.zeros_like(vector)
    errors = {0: refusal} if refusal else {}
    return extract(Scored([exchange], vector, response, np.array([0.5], np.float32), errors))


def flagged(features: Features) -> set[str]:
    """Name the flags that are set."""
    return {name for name, mask in features.flags.items() if mask[0]}


def test_a_plain_exchange():
    """Prompt and answer can be judged and nothing is flagged."""
    seen = one()
    assert seen.prompted[0]
    assert seen.answered[0]
    assert flagged(seen) == set()


def test_a_prompt_is_as_long_as_what_the_model_is_given():
    """Earlier turns and instructions count; a file that knows of none has the prompt alone."""
    assert one().prompt_style[0, 0] == math.log1p(len("Why?"))
    assert one(context_chars=9000).prompt_style[0, 0] == np.log1p(9000.0)


def test_errors_are_counted_not_judged():
    """An error status or a broken connection is an error, whatever text came with it."""
    for broken in (one(status=500), one(error="reset")):
        assert flagged(broken) == {"errors"}
        assert broken.prompted[0]
        assert not broken.answered[0]


def test_cut_answers_are_incomplete():
    """An answer cut short is counted and not judged."""
    seen = one(complete=False)
    assert flagged(seen) == {"incomplete"}
    assert not seen.answered[0]


def test_empty_answers():
    """A blank answer is empty; a tool call without words is not; nor is a history without answers."""
    assert flagged(one(response="  \n")) == {"empty"}
    assert flagged(one(response="", tool_calls=["f"])) == {"tool_calls"}
    assert flagged(one(response=None)) == set()
    assert not one(response=None).answered[0]


def test_truncation_by_any_name():
    """The providers' names for the token limit all count."""
    for reason in ("length", "max_tokens", "max_output_tokens"):
        assert flagged(one(finish_reason=reason)) == {"truncated"}
    assert flagged(one(finish_reason="stop")) == set()


def test_refusals_declared_or_worded():
    """A refusal is one whether the API says so or the words do."""
    assert flagged(one(refused=True)) == {"refused"}
    assert flagged(one(response="I cannot help with that.")) == {"refused"}


def test_what_the_scorer_refused_is_left_out():
    """An exchange without scores is counted as unscored and nowhere else."""
    seen = one(refusal="too long")
    assert flagged(seen) == {"unscored"}
    assert not seen.prompted[0]


def test_times_are_logarithms():
    """Latency is taken in logarithms; missing and negative ones are missing."""
    assert abs(one(latency_s=1.0).latency[0]) < 0.01
    assert math.isnan(one().latency[0])
    assert math.isnan(one(latency_s=-1.0).latency[0])
    assert math.isfinite(one(latency_s=0.0).latency[0])


def test_no_exchanges():
    """An empty batch has empty features."""
    nothing = np.zeros((0, 4), dtype=np.float32)
    seen = extract(Scored([], nothing, nothing, np.zeros(0, np.float32), {}))
    assert seen.response_style.shape[0] == 0
