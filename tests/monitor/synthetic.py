"""Synthetic scored exchanges: topics are directions, answers are short texts of our own words.

A `World` says what traffic looks like; `World().make(n, seed)` draws n exchanges with their scores, without any
scorer. Changing one number of a world is one known drift: other topics, worse answers, longer answers, refusals.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monitor.contract import Exchange
from monitor.sketch.scored import Scored

DIM = 24
_NOUNS = [
    "river",
    "stone",
    "cloud",
    "paper",
    "house",
    "light",
    "water",
    "bread",
    "train",
    "clock",
    "garden",
    "window",
    "mirror",
    "bottle",
    "candle",
    "ladder",
]
_LINKS = ["the", "of", "and", "to", "a", "in", "it", "that", "for", "on", "with", "as", "this", "by"]
_ANSWERS = [
    "you",
    "can",
    "may",
    "perhaps",
    "first",
    "then",
    "because",
    "also",
    "really",
    "very",
    "set",
    "keep",
    "done",
    "taken",
]
REFUSAL = "I am sorry, but I cannot help with that."


@dataclass(frozen=True, kw_only=True)
class World:
    """What traffic looks like. `shares` weighs the topics; `quality` is added to every reward, in its unit.

    `length` multiplies the words of an answer, `refusals` is the share of refusals, `same_prompts` seeds the prompts
    apart from the answers, `sticky` is the chance that an exchange has its predecessor's topic, `rate` counts
    exchanges a minute (0: no times at all).
    """

    shares: tuple[float, ...] = (0.4, 0.3, 0.2, 0.1)
    quality: float = 0.0
    length: float = 1.0
    refusals: float = 0.0
    turn: float = 0.0
    same_prompts: int | None = None
    sticky: float = 0.0
    rate: float = 30.0
    start: float = 6e5
    arm: str = "control"
    latency_s: float = 1.0

    def but(self, **changes: object) -> World:
        """Return this world with something changed."""
        return replace(self, **changes)  # type: ignore[arg-type]  # names are checked by the constructor

    def make(self, n: int, seed: int = 0) -> Scored:
        """Draw n exchanges."""
        asked = np.random.default_rng([1, seed if self.same_prompts is None else self.same_prompts])
        rng = np.random.default_rng([2, seed])
        topic = self._topics(asked, n)
        centres = _centres(len(self.shares))
        prompt = _unit(centres[topic] + 0.16 * asked.standard_normal((n, DIM)))
        answer = 0.7 * prompt + 0.16 * rng.standard_normal((n, DIM))
        answer[:, 0] += self.turn
        reward = 0.6 + 0.08 * np.cos(topic) + 0.1 * rng.standard_normal(n) + self.quality
        refused = rng.random(n) < self.refusals
        words = _words(asked, topic, n)
        exchanges = [
            Exchange(
                id=f"{self.arm}-{seed}-{i}",
                time=self.start + 60.0 * i / self.rate if self.rate else 0.0,
                prompt=words[i],
                response=REFUSAL if refused[i] else _answer(rng, self.length),
                arm=self.arm,
                latency_s=float(self.latency_s * np.exp(0.3 * rng.standard_normal())),
            )
            for i in range(n)
        ]
        return Scored(exchanges, _floats(prompt), _floats(_unit(answer)), _floats(reward), {})

    def _topics(self, rng: np.random.Generator, n: int) -> NDArray[np.intp]:
        topic = rng.choice(len(self.shares), size=n, p=np.array(self.shares) / sum(self.shares))
        stays = rng.random(n) < self.sticky
        for i in range(1, n if self.sticky else 0):
            if stays[i]:
                topic[i] = topic[i - 1]
        return topic


def sampled(world: World, prompts: int, samples: int, seed: int) -> Scored:
    """Draw exchanges without times: so many prompts, each answered so many times."""
    asked = world.but(same_prompts=seed, rate=0.0)
    drawn = [asked.make(prompts, 1000 * seed + sample + 1) for sample in range(samples)]
    whole = drawn[0]
    for more in drawn[1:]:
        whole = Scored(
            [*whole.exchanges, *more.exchanges],
            np.concatenate([whole.prompt, more.prompt]),
            np.concatenate([whole.response, more.response]),
            np.concatenate([whole.reward, more.reward]),
            {},
        )
    return whole


def _centres(topics: int) -> NDArray[np.float64]:
    """Return one direction a topic; the first ones stay the same when topics are added."""
    return np.vstack([_unit(np.random.default_rng([3, k]).standard_normal((1, DIM))) for k in range(topics)])


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float64)


def _floats(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    return rows.astype(np.float32)


def _words(rng: np.random.Generator, topic: NDArray[np.intp], n: int) -> list[str]:
    """Return a question a row: links, and nouns of its topic."""
    drawn, links = rng.integers(0, 4, size=(n, 4)), rng.integers(0, len(_LINKS), size=(n, 4))
    return [
        "What is "
        + " ".join(f"{_LINKS[links[i, j]]} {_NOUNS[(4 * topic[i] + drawn[i, j]) % 16]}" for j in range(4))
        + "?"
        for i in range(n)
    ]


def _answer(rng: np.random.Generator, length: float) -> str:
    size = max(3, int(length * np.exp(2.5 + 0.4 * rng.standard_normal())))
    pool = _NOUNS + _LINKS + _ANSWERS
    words = [pool[k] for k in rng.integers(0, len(pool), size=size)]
    ends = rng.random(size) < 0.12
    return " ".join(f"{w}." if end else w for w, end in zip(words, ends, strict=True)).capitalize() + "."
