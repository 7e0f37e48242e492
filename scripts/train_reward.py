"""Train the reward head on judged answers, and say how far it can be trusted.

    .venv/bin/python scripts/train_reward.py DATA [--measure]

DATA holds `reward_train` (answers of 32 models to 805 prompts with a judge's probability of beating one reference
answer). The target is the logit of that probability less its mean over the models' answers to the same prompt, so
that the head learns which answer is better, not which prompt is hard. Each answer enters twice, as it is and with its
layout removed (lists, headings, bold), so that layout earns nothing; blank answers enter as the worst. Ridge
regression, closed form, no randomness. The head's error between models is measured and stored with it. `--measure`
also holds models and prompts out, and checks scenarios.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "triton_models" / "exchange_scorer" / "1" / "weights"
sys.path[:0] = [str(Path(__file__).parent), str(WEIGHTS.parent)]

from corpus import read_table  # noqa: E402 - the paths are set above
from safetensors.numpy import save_file  # noqa: E402
from scoring.reward import HeadWeights, standardised  # noqa: E402
from scoring.style import BLANK, VERSION  # noqa: E402

RIDGE = 300.0
# A feature that hardly varies in training is not blown up in use.
LEAST_SD = 1e-4
# Judge probabilities nearer to 0 or 1 than this are taken as this.
EDGE = 0.003
_LAYOUT = re.compile(r"\*\*|__|^#+ *|```\w*|^\s*[-*•]\s+|^\s*\d+[.)]\s+", re.MULTILINE)


def without_layout(text: str) -> str:
    """Remove lists, headings, bold and code fences; keep the words."""
    return re.sub(r"\n{2,}", "\n", _LAYOUT.sub("", text))


def centred_logits(p_win: Any, prompts: Any) -> Any:
    """Return the logit of each probability less its mean over the same prompt."""
    clipped = np.clip(p_win, EDGE, 1 - EDGE)
    logits = np.log(clipped / (1 - clipped))
    _, group = np.unique(prompts, return_inverse=True)
    return logits - (np.bincount(group, logits) / np.bincount(group))[group]


def fit(plain: Any, bare: Any, target: Any) -> HeadWeights:
    """Fit a head to style (n, features) of the answers as they are and without layout, and to blank ones."""
    empty = HeadWeights(plain.mean(axis=0), np.maximum(plain.std(axis=0), LEAST_SD), np.zeros(0), np.zeros(0))
    blank = np.tile(np.asarray(BLANK, np.float32), (len(plain) // 20, 1))
    x = standardised(np.vstack([plain, bare, blank]), empty).astype(np.float64)
    y = np.concatenate([target, target, np.full(len(blank), np.quantile(target, 0.01))])
    bias = target.mean()
    weight = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ (y - bias))
    return HeadWeights(*(np.asarray(v, np.float32) for v in (empty.mean, empty.scale, weight, [bias])))


def main() -> None:
    """Train on all, store, and measure when asked."""
    from reward_trust import measure, model_error, read_answers  # noqa: PLC0415 - it imports this file

    data = Path(sys.argv[1]) if len(sys.argv) > 1 else sys.exit(__doc__)
    answers = read_answers(read_table(data, "reward_train"))
    head = fit(answers.plain, answers.bare, centred_logits(answers.p_win, answers.prompts))
    error = f"{model_error(answers).size:.4f}"
    path = WEIGHTS / "reward.safetensors"
    save_file(head._asdict(), path, metadata={"style_version": str(VERSION), "model_error": error})
    provenance = {
        "trained_on": "tatsu-lab/alpaca_eval results (Apache-2.0): 25,760 answers of 32 models, GPT-4-turbo as judge",
        "script": "scripts/train_reward.py",
        "model_error": float(error),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    (WEIGHTS / "reward.json").write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")
    print(f"stored {path.name}: {len(head.weight)} weights, model error {error}")
    if "--measure" in sys.argv:
        measure(data, answers)


if __name__ == "__main__":
    main()
