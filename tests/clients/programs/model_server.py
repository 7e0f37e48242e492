"""A real server of OpenAI's API, llama.cpp's, with a model made here: two layers of random weights, four megabytes at most.

Law: nothing is downloaded. The model knows single bytes and the letters of its own alphabet, so its answers are noise,
but everything around it is real: chat template, tokens, streams, usage, grammars, embeddings, errors. Runs in
`.venv/server`; prints its base URL, and ends when its standard input does.
"""

from __future__ import annotations

import string
import sys
from pathlib import Path

import gguf
import numpy as np
import xllamacpp

WIDTH, HEADS, INNER, LAYERS, CONTEXT = 64, 4, 128, 2, 2048
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
# Words and letters first: what the model says most.
WORDS = [
    " the",
    " a",
    " of",
    " and",
    " is",
    " to",
    " in",
    " we",
    " he",
    " é",
    " ü",
    " 😀",
    *string.ascii_letters,
    *string.digits,
    *string.punctuation,
    " ",
    "\n",
]


def vocabulary() -> tuple[list[str], list[float], list[int]]:
    """Return tokens, scores and kinds of a SentencePiece vocabulary that can spell any bytes."""
    kind = gguf.TokenType
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    kinds = [kind.UNKNOWN, kind.CONTROL, kind.CONTROL] + [kind.BYTE] * 256
    words = [word.replace(" ", "▁") for word in WORDS]
    scores = [0.0] * len(tokens) + [-float(i) for i in range(len(words))]
    return tokens + words, scores, [int(each) for each in kinds] + [int(kind.NORMAL)] * len(words)


def write_model(path: Path, seed: int = 0) -> None:
    """Write a small model of Llama's architecture with random weights."""
    tokens, scores, kinds = vocabulary()
    chance = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("random")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)

    def add(name: str, *shape: int) -> None:
        writer.add_tensor(name, chance.standard_normal(shape, dtype=np.float32) * 0.3)

    add("token_embd.weight", len(tokens), WIDTH)
    for i in range(LAYERS):
        writer.add_tensor(f"blk.{i}.attn_norm.weight", np.ones(WIDTH, dtype=np.float32))
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{i}.{part}.weight", WIDTH, WIDTH)
        writer.add_tensor(f"blk.{i}.ffn_norm.weight", np.ones(WIDTH, dtype=np.float32))
        add(f"blk.{i}.ffn_gate.weight", INNER, WIDTH)
        add(f"blk.{i}.ffn_up.weight", INNER, WIDTH)
        add(f"blk.{i}.ffn_down.weight", WIDTH, INNER)
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, dtype=np.float32))
    output = chance.standard_normal((len(tokens), WIDTH), dtype=np.float32) * 0.3
    # Control and byte tokens are never the likeliest: an answer ends at its limit and is mostly text.
    output[:259] *= 0.02
    writer.add_tensor("output.weight", output)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main(directory: str, *, embeds: bool) -> None:
    """Serve until standard input ends."""
    path = Path(directory) / "random.gguf"
    write_model(path)
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.n_ctx, params.n_parallel, params.n_predict = CONTEXT, 4, 64
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.warmup, params.ui, params.use_jinja, params.embedding = False, False, True, embeds
    params.model_alias = {"random"}
    if embeds:
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)  # noqa: T201 - the address is what the parent waits for
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], embeds="embeddings" in sys.argv[2:])
