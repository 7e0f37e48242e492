"""The leak: what other questions alone move among answers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.baseline.leak import FEWEST, leak

Floats = NDArray[np.float64]


def drawn(leaks: float, n: int = 3000) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Return prompt scores, residuals and kinds of prompts, where a kind moves residuals by `leaks` of its score."""
    rng = np.random.default_rng(1)
    kind = rng.integers(0, 20, n)
    place = rng.normal(size=(20, 5))
    prompt = place[kind] + 0.5 * rng.normal(size=(n, 5))
    residuals = leaks * place[kind][:, :4] + rng.normal(size=(n, 4))
    return prompt, residuals, kind


def test_answers_that_owe_nothing_to_the_kind_leak_nothing() -> None:
    """Where residuals do not depend on the kind of prompt, no tilt moves them beyond chance."""
    assert leak(*drawn(0.0), seed=0) < 0.1


def test_it_grows_with_what_is_not_explained() -> None:
    """The more the kinds differ in what they leave unexplained, the larger it is."""
    little, much = leak(*drawn(0.2), seed=0), leak(*drawn(0.6), seed=0)
    assert 0.05 < little < much <= 1.0


def test_few_exchanges_are_given_the_benefit_of_the_doubt() -> None:
    """Below the fewest exchanges the largest plausible leak is assumed."""
    prompt, residuals, kind = drawn(0.0, FEWEST - 1)
    assert leak(prompt, residuals, kind, seed=0) == 1.0


def test_the_same_exchanges_give_the_same_number() -> None:
    """It is a function of its arguments."""
    assert leak(*drawn(0.4), seed=3) == leak(*drawn(0.4), seed=3)
