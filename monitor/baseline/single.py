"""The numbers by which a single exchange is compared with the baseline, and how each is said in words.

Law of this file: the table `FEATURES` is the whole story; a row is a number, the side that counts and the words for
it. Numbers that stand for what an answer does are those left over when its prompt is accounted for.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from monitor.baseline.folds import Arrivals, folds
from monitor.baseline.frozen import Baseline, Encoded
from monitor.baseline.ordinary import Ordinary, Unusual, fit_ordinary
from monitor.sketch.features import Features, Floats
from monitor.sketch.layout import AXES
from monitor.sketch.scored import Scored
from monitor.text.style import PROMPT_FEATURES, RESPONSE_FEATURES


class Feature(NamedTuple):
    """A number of an exchange; `rising` and `falling` say what it means that it is far out, empty: it does not count."""

    name: str
    rising: str
    falling: str = ""


FEATURES: tuple[Feature, ...] = (
    Feature("prompt_novelty", "the prompt is unlike any in the baseline"),
    Feature(
        "prompt_length",
        "the prompt, with what stands before it, is unusually long",
        "the prompt is unusually short",
    ),
    Feature("answer_fit", "", "the answer does not address its prompt"),
    Feature(
        "reward",
        "the reward is far above what such prompts get",
        "the reward is far below what such prompts get",
    ),
    Feature("response_novelty", "the answer is unlike any in the baseline"),
    Feature("response_content", "the answer is about something else than such prompts lead one to expect"),
    Feature("response_style", "the answer is written in another way than such prompts lead one to expect"),
    Feature("response_length", "the answer is unusually long", "the answer is unusually short"),
    Feature("repetition", "the answer repeats itself"),
    Feature("non_ascii", "the answer is in another script"),
    Feature("refusal", "the answer is a refusal"),
    Feature("truncation", "the answer was cut at the token limit"),
    Feature("latency", "the answer came unusually late"),
)
# A feature is named as a reason from this surprise on (about one in 150), the largest first.
_NAMED = 5.0
_MOST_REASONS = 3
_STYLES = len(RESPONSE_FEATURES)


def numbers(scored: Scored, features: Features, encoded: Encoded) -> Floats:
    """Return float64 (n, features) of exchanges seen through a baseline; NaN where there is nothing to judge."""
    answered = features.answered
    reward = scored.reward.astype(np.float64) - encoded.expected_reward
    style, content = encoded.residuals[:, :_STYLES], encoded.residuals[:, _STYLES : _STYLES + AXES]
    of_prompts = [encoded.prompts.novelty, features.prompt_style[:, PROMPT_FEATURES.index("length")]]
    of_answers = [
        encoded.answer_fit,
        reward,
        encoded.responses.novelty,
        (content**2).mean(axis=1),
        (style**2).mean(axis=1),
        *(
            features.response_style[:, RESPONSE_FEATURES.index(n)]
            for n in ("length", "repetition", "non_ascii")
        ),
        features.flags["refused"].astype(np.float64),
        features.flags["truncated"].astype(np.float64),
        features.latency,
    ]
    return np.column_stack(
        [
            *(np.where(features.prompted, column, np.nan) for column in of_prompts),
            *(np.where(answered, column, np.nan) for column in of_answers),
        ]
    )


def fit_single(
    scored: Scored, features: Features, encoded: Encoded, arrivals: Arrivals, seed: int
) -> Ordinary:
    """Learn what is ordinary from a baseline's own exchanges, seen as new ones are."""
    sides = np.array([bool(f.rising) - bool(f.falling) for f in FEATURES], dtype=np.int8)
    prompted = features.prompted
    half = folds(arrivals.take(prompted), 2, seed) == 0
    return fit_ordinary(numbers(scored, features, encoded)[prompted], sides, half)


def judge_single(baseline: Baseline, scored: Scored, features: Features, encoded: Encoded) -> Unusual:
    """Judge each exchange against a baseline."""
    return baseline.ordinary.judge(numbers(scored, features, encoded))


def reasons_of(unusual: Unusual, row: int) -> tuple[str, ...]:
    """Say in words what is unusual about one exchange, the most surprising first; at least one reason."""
    both = [
        (float(surprise), words)
        for feature, up, down in zip(FEATURES, unusual.rising[row], unusual.falling[row], strict=True)
        for surprise, words in ((up, feature.rising), (down, feature.falling))
        if words
    ]
    ordered = sorted(both, key=lambda pair: -pair[0])[:_MOST_REASONS]
    return tuple(words for i, (surprise, words) in enumerate(ordered) if i == 0 or surprise >= _NAMED)


def leading(unusual: Unusual, row: int) -> tuple[str, int]:
    """Return which feature of one exchange is the most surprising and to which side (+1 rises)."""
    up, down = unusual.rising[row], unusual.falling[row]
    place = int(np.argmax(np.maximum(up, down)))
    return FEATURES[place].name, 1 if up[place] >= down[place] else -1
