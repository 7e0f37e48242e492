"""Any Hugging Face encoder and any Hugging Face reward model, on a CPU or a GPU.

Law of this file: the only one that knows torch and transformers, imported when it is. An encoder's text vector is the
mean of its last hidden states over the text's tokens, unit length. A reward model is a sequence classifier: with one
label its logit is the reward, with several the log-odds of one of them; `reward_activation: sigmoid` squashes either
into (0, 1). Rows are run in batches of similar length and returned in the order given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from .parameters import whole_number

Run = Callable[[Sequence[Any]], NDArray[np.float32]]


class HuggingFaceEmbedder:
    """Texts -> float32 (n, dim), unit rows, zero for blank text."""

    def __init__(self, source: str, device: str, max_tokens: int, rows: int) -> None:
        """Load by name or path. `rows` texts of at most `max_tokens` tokens are run at once."""
        self._tokenizer = _tokenizer(source)
        self._model = AutoModel.from_pretrained(source).eval()
        self.identity = f"{source}:{_fingerprint(self._model)}"
        self.dim = int(self._model.config.hidden_size)
        self._model.to(device)
        self._device, self._max_tokens, self._rows = device, max_tokens, rows

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed each text."""
        out = np.zeros((len(texts), self.dim), dtype=np.float32)
        there = [index for index, text in enumerate(texts) if text.strip()]
        if there:
            out[there] = _by_length([texts[index] for index in there], len, self._rows, self._run)
        return out

    def _run(self, texts: Sequence[str]) -> NDArray[np.float32]:
        batch = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=self._max_tokens, return_tensors="pt"
        ).to(self._device)
        with torch.inference_mode():
            hidden = self._model(**batch).last_hidden_state.float()
            mask = batch["attention_mask"].unsqueeze(-1).float()
            mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1.0)
            unit = torch.nn.functional.normalize(mean, dim=1)
        rows: NDArray[np.float32] = unit.cpu().numpy()
        return rows


class HuggingFaceRewarder:
    """Exchanges -> float32 (n,)."""

    def __init__(self, source: str, device: str, chosen: Mapping[str, str]) -> None:
        """Load by name or path; `chosen` holds the model parameters."""
        self._tokenizer = _tokenizer(source)
        self._model = AutoModelForSequenceClassification.from_pretrained(source).eval()
        if self._model.config.pad_token_id is None:
            self._model.config.pad_token_id = self._tokenizer.pad_token_id
        self._label = whole_number(chosen, "reward_label")
        self._squash = chosen["reward_activation"] == "sigmoid"
        self.identity = f"{source}:{_fingerprint(self._model)}:{chosen['reward_activation']}"
        self._model.to(device)
        self._device, self._max_tokens = device, whole_number(chosen, "max_tokens")
        self._rows = whole_number(chosen, "batch_rows")

    def reward(self, prompts: Sequence[str], responses: Sequence[str]) -> NDArray[np.float32]:
        """Reward each response."""
        pairs = list(zip(prompts, responses, strict=True))
        return _by_length(pairs, lambda pair: len(pair[0]) + len(pair[1]), self._rows, self._run)

    def _run(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits = self._model(**self._tokens(pairs)).logits.float()
            others = [label for label in range(logits.shape[1]) if label != self._label % logits.shape[1]]
            value = logits[:, self._label]
            if others:
                value = value - torch.logsumexp(logits[:, others], dim=1)
            value = torch.sigmoid(value) if self._squash else value
        rewards: NDArray[np.float32] = value.cpu().numpy()
        return rewards

    def _tokens(self, pairs: Sequence[tuple[str, str]]) -> Any:
        """Encode as the model was trained: by its chat template where it has one, otherwise as a pair of texts."""
        prompts, responses = [prompt for prompt, _ in pairs], [response for _, response in pairs]
        texts: tuple[list[str], ...] = (prompts, responses)
        if self._tokenizer.chat_template:
            texts = ([self._chat(prompt, response) for prompt, response in pairs],)
        return self._tokenizer(
            *texts,
            padding=True,
            truncation=True,
            max_length=self._max_tokens,
            return_tensors="pt",
            # A chat template writes its own special tokens.
            add_special_tokens=not self._tokenizer.chat_template,
        ).to(self._device)

    def _chat(self, prompt: str, response: str) -> str:
        turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
        return str(self._tokenizer.apply_chat_template(turns, tokenize=False))


def open_huggingface(
    chosen: Mapping[str, str], device: str
) -> tuple[HuggingFaceEmbedder, HuggingFaceRewarder]:
    """Open both models. Raises ValueError naming a parameter that is missing or wrong, OSError when one is absent."""
    for name in ("embedder_model", "reward_model"):
        if not chosen[name]:
            raise ValueError(f"model parameter `{name}` is empty; family huggingface needs a name or path")
    if chosen["reward_activation"] not in {"sigmoid", "none"}:
        raise ValueError(
            f"model parameter `reward_activation` is {chosen['reward_activation']!r}; expected `sigmoid` or `none`"
        )
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device {device} was asked for, but torch sees no GPU")
    rows, max_tokens = whole_number(chosen, "batch_rows"), whole_number(chosen, "max_tokens")
    embedder = HuggingFaceEmbedder(chosen["embedder_model"], device, max_tokens, rows)
    return embedder, HuggingFaceRewarder(chosen["reward_model"], device, chosen)


def _tokenizer(source: str) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(source)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _fingerprint(model: Any) -> str:
    """Identify the weights: the hub's commit where there is one, otherwise a hash of every parameter."""
    commit = getattr(model.config, "_commit_hash", None)
    if commit:
        return str(commit)[:12]
    digest = hashlib.blake2b(digest_size=6)
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _by_length(items: Sequence[Any], size: Callable[[Any], int], rows: int, run: Run) -> NDArray[np.float32]:
    """Run items in batches of similar size, so that little is padding; return the results in the given order."""
    order = sorted(range(len(items)), key=lambda index: size(items[index]))
    parts = [
        run([items[index] for index in order[start : start + rows]]) for start in range(0, len(order), rows)
    ]
    stacked = np.concatenate(parts)
    out = np.empty_like(stacked)
    out[order] = stacked
    return out
