"""Answers to fixed prompts for the tests: a model with moods, in our own words, embedded by the test double."""

from __future__ import annotations

import random

from monitor.canary.answers import Answered, answered
from monitor.scorer.fake import FakeScorer

PROMPTS = tuple(
    f"What is {noun} good for?" for noun in ("a river", "stone", "paper", "bread", "light", "a clock")
)
_WORDS = [
    "it",
    "is",
    "for",
    "the",
    "house",
    "and",
    "the",
    "garden",
    "because",
    "you",
    "can",
    "use",
    "this",
    "every",
    "day",
    "with",
    "water",
    "light",
    "bread",
    "or",
    "time",
]


def say(prompt: int, rng: random.Random, mood: str = "plain") -> str:
    """Answer a prompt: `plain`, `curt`, `lists`, or `fixed` (always the same words)."""
    source = random.Random(prompt) if mood == "fixed" else rng
    words = [*source.choices(_WORDS, k=source.randint(12, 24)), PROMPTS[prompt].split()[2]]
    if mood == "curt":
        return " ".join(words[:3]).capitalize() + "!"
    if mood == "lists":
        return "\n".join(f"- **{word}**: {word}" for word in words)
    return f"Well, {' '.join(words)}."


def heard(prompt: int, time: float, text: str, scorer: FakeScorer) -> Answered:
    """Take an answer down, scored."""
    scores = scorer.score([PROMPTS[prompt]], [text])
    return answered(prompt, time, text, scores.response[0], float(scores.reward[0]))


def answers(rounds: int, seed: int, mood: str = "plain", start_s: float = 0.0) -> list[Answered]:
    """Ask every prompt some times, one a minute."""
    rng, scorer = random.Random(seed), FakeScorer()
    order = [prompt for _ in range(rounds) for prompt in range(len(PROMPTS))]
    return [
        heard(prompt, start_s + 60.0 * place, say(prompt, rng, mood), scorer)
        for place, prompt in enumerate(order)
    ]
