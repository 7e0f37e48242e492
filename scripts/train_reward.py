"""Train the reward head on judged answers, and say how far it can be trusted.

    .venv/bin/python scripts/train_reward.py DATA [--measure]

DATA holds `reward_train` (answers of 32 models to 805 prompts with a judge's probability of beating one reference
answer). The target is the logit of that probability less its mean over the models' answers to the same prompt, so
that the head learns which answer is better, not which prompt is hard. Each answer enters twice, as it is and with its
layout removed (lists, headings, bold), so that layout earns nothing; blank answers enter as the worst. Ridge
regression, closed form, no randomness. `--measure` also holds models and prompts out, and checks scenarios.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "triton_models" / "exchange_scorer" / "1" / "weights"
sys.path[:0] = [str(Path(__file__).parent), str(WEIGHTS.parent)]

from corpus import read_table  # noqa: E402 - the paths are set above
from safetensors.numpy import save_file  # noqa: E402
from scoring.reward import HeadWeights, inputs  # noqa: E402
from scoring.static import StaticEmbedder, load_reader, load_static  # noqa: E402
from scoring.style import FEATURES, VERSION, style_matrix  # noqa: E402
from scoring.text import read_text  # noqa: E402

RIDGE = 300.0
# Judge probabilities nearer to 0 or 1 than this are taken as this.
EDGE = 0.003
_LAYOUT = re.compile(r"\*\*|__|^#+ *|```\w*|^\s*[-*•]\s+|^\s*\d+[.)]\s+", re.MULTILINE)


class Answers(NamedTuple):
    """n answers: style (n, f), prompt and response embeddings (n, dim)."""

    style: Any
    prompt: Any
    response: Any

    def take(self, rows: Any) -> Answers:
        """Return these rows."""
        return Answers(*(column[rows] for column in self))


def read_answers(embedder: StaticEmbedder, prompts: list[str], responses: list[str]) -> Answers:
    """Read texts as the head does."""
    asked = [embedder.reader.encode(read_text(text)) for text in prompts]
    texts = [read_text(text) for text in responses]
    said = [embedder.reader.encode(text) for text in texts]
    return Answers(style_matrix(texts, asked, said), embedder.embed_read(asked), embedder.embed_read(said))


def without_layout(text: str) -> str:
    """Remove lists, headings, bold and code fences; keep the words."""
    return re.sub(r"\n{2,}", "\n", _LAYOUT.sub("", text))


def centred_logits(p_win: Any, prompts: Any) -> Any:
    """Return the logit of each probability less its mean over the same prompt."""
    clipped = np.clip(p_win, EDGE, 1 - EDGE)
    logits = np.log(clipped / (1 - clipped))
    _, group = np.unique(prompts, return_inverse=True)
    return logits - (np.bincount(group, logits) / np.bincount(group))[group]


def fit(plain: Answers, bare: Answers, target: Any) -> HeadWeights:
    """Fit a head to the answers as they are, without layout, and blank."""
    mean, scale = plain.style.mean(axis=0), plain.style.std(axis=0)
    scale = np.maximum(scale, 0.02)
    empty = HeadWeights(mean, scale, np.zeros(0), np.zeros(0))
    blank = plain.take(slice(None, None, 20))
    blank_style = np.zeros_like(blank.style)
    blank_style[:, FEATURES.index("blank")] = 1.0
    blank_style[:, FEATURES.index("ends_open")] = 1.0
    blank = Answers(blank_style, blank.prompt, np.zeros_like(blank.response))
    x = np.vstack([inputs(*answers, empty) for answers in (plain, bare, blank)]).astype(np.float64)
    y = np.concatenate([target, target, np.full(len(blank.style), np.quantile(target, 0.01))])
    bias = target.mean()
    weight = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ (y - bias))
    return HeadWeights(*(np.asarray(v, np.float32) for v in (mean, scale, weight, [bias])))


def predict(head: HeadWeights, answers: Answers) -> Any:
    """Return rewards in (0, 1)."""
    return 1 / (1 + np.exp(-(inputs(*answers, head) @ head.weight + head.bias)))


def main() -> None:
    """Train on all, store, and measure when asked."""
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else sys.exit(__doc__)
    embedder = load_static(WEIGHTS, load_reader(WEIGHTS), "reward_embedding")
    rows = read_table(data, "reward_train")
    prompts, responses = [row["prompt"] for row in rows], [row["response"] for row in rows]
    plain = read_answers(embedder, prompts, responses)
    bare = read_answers(embedder, prompts, [without_layout(text) for text in responses])
    target = centred_logits(np.array([row["p_win"] for row in rows]), np.array([row["pid"] for row in rows]))
    head = fit(plain, bare, target)
    path = WEIGHTS / "reward.safetensors"
    save_file(head._asdict(), path, metadata={"embedding": embedder.identity, "style_version": str(VERSION)})
    provenance = {
        "trained_on": "tatsu-lab/alpaca_eval results (Apache-2.0): 25,760 answers of 32 models, GPT-4-turbo as judge",
        "script": "scripts/train_reward.py",
        "embedding": embedder.identity,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    (WEIGHTS / "reward.json").write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")
    print(f"stored {path.name}: {len(head.weight)} weights for {embedder.identity}")
    if "--measure" in sys.argv:
        from reward_trust import measure  # noqa: PLC0415 - imports scipy and this file

        measure(data, embedder, rows, plain, bare)


if __name__ == "__main__":
    main()
