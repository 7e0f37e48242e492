"""The sentences that the static embedding learns from, drawn from tables of exchanges.

Law of this file: pure selection, seeded, in a fixed order; the same folder and seed give the same list. CLINC150
(`prompts_clinc`) is never drawn: it is what the embedding is measured on. Tables are JSON Lines, gzipped, with
`prompt` and `response` where they have them; their text is used here and never copied into the project.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# Table -> most sentences taken from it, so that no source dominates.
SHARES = {
    "reward_train": 22_000,
    "pref_pairs": 8_000,
    "routellm_correct": 6_000,
    "wildbench_scores": 6_000,
    "arena_hard_1k_answers": 5_000,
    "prompts_persona": 4_000,
    "gpteacher": 3_000,
    "oa_seed_messages": 2_000,
    "convabuse_full": 3_000,
    "commits_time": 3_000,
    "zeroeval_gsm": 3_000,
    "selfinstruct_252": 2_000,
    "xstest_completions": 1_500,
}
PASSAGES = 6_000
PASSAGE_CHARS = 400
_SENTENCE = re.compile(r"(?<=[.!?:])\s+|\n+")


def read_table(folder: Path, name: str) -> list[dict[str, Any]]:
    """Read one table. Raises FileNotFoundError when it is absent."""
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def draw_sentences(folder: Path, seed: int) -> list[str]:
    """Draw the training sentences: short ones from every table, then passages of a few sentences."""
    rng = random.Random(seed)  # noqa: S311 - sampling, not cryptography
    drawn: list[str] = []
    passages: list[str] = []
    for name, most in SHARES.items():
        texts = sorted(set(_texts(read_table(folder, name))))
        sentences = sorted({s for text in texts for s in _sentences(text)})
        drawn += rng.sample(sentences, min(most, len(sentences)))
        passages += [text[:PASSAGE_CHARS] for text in texts if len(text) > PASSAGE_CHARS // 2]
    drawn += rng.sample(passages, min(PASSAGES, len(passages)))
    return drawn


def _texts(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        for field in ("prompt", "response", "response_1", "response_2"):
            if isinstance(row.get(field), str):
                yield row[field]


def _sentences(text: str) -> Iterator[str]:
    for piece in _SENTENCE.split(text):
        sentence = piece.strip()
        if 8 <= len(sentence) <= 200:
            yield sentence
