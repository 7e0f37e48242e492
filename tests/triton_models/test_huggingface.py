"""Any encoder and any reward model, on tiny randomly initialised ones."""

from __future__ import annotations

import numpy as np
import pytest
from scoring import open_models

torch = pytest.importorskip("torch", reason="torch is not installed (extra `huggingface`)")
transformers = pytest.importorskip(
    "transformers", reason="transformers is not installed (extra `huggingface`)"
)
tokenizers = pytest.importorskip("tokenizers")

TEXTS = ["short", "a rather longer text with many more words in it", "", "x y z"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write an encoder and reward models with one and with two labels, all of two tiny layers."""
    folder = tmp_path_factory.mktemp("huggingface")
    torch.manual_seed(0)
    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *"abcdefghijklmnopqrstuvwxyz",
        *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"),
    ]
    fast = tokenizers.BertWordPieceTokenizer({piece: i for i, piece in enumerate(vocabulary)})
    fast.save(str(folder / "tokenizer.json"))
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 37}
    config = transformers.BertConfig(vocab_size=len(vocabulary), pad_token_id=0, **size)
    transformers.BertModel(config).save_pretrained(folder / "encoder")
    tokenizer.save_pretrained(folder / "encoder")
    for labels in (1, 2):
        config = transformers.BertConfig(
            vocab_size=len(vocabulary), pad_token_id=0, num_labels=labels, **size
        )
        transformers.BertForSequenceClassification(config).save_pretrained(folder / f"reward{labels}")
        tokenizer.save_pretrained(folder / f"reward{labels}")
    return folder


def _open(folder, weights, **parameters):
    chosen = {
        "family": "huggingface",
        "embedder_model": str(folder / "encoder"),
        "reward_model": str(folder / "reward1"),
        **parameters,
    }
    return open_models(chosen, weights)


def test_rows_are_unit_or_zero_and_independent_of_the_batch(folder, weights):
    """Mean pooling ignores padding: a row alone equals the row in a batch."""
    models = _open(folder, weights, batch_rows="2")
    rows = models.embed(TEXTS)
    assert rows.shape == (4, 32)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), [1, 1, 0, 1], atol=1e-5)
    for index, text in enumerate(TEXTS):
        np.testing.assert_allclose(models.embed([text])[0], rows[index], atol=1e-5)


def test_the_pooled_row_is_the_mean_of_the_hidden_states(folder, weights):
    """One text, computed by hand from the same model."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "encoder")
    model = transformers.AutoModel.from_pretrained(folder / "encoder").eval()
    with torch.inference_mode():
        mean = model(**tokenizer(TEXTS[1], return_tensors="pt")).last_hidden_state[0].mean(0)
    expected = (mean / mean.norm()).numpy()
    np.testing.assert_allclose(_open(folder, weights).embed([TEXTS[1]])[0], expected, atol=1e-5)


def test_long_texts_are_truncated(folder, weights):
    """Beyond `max_tokens` nothing is read, and nothing fails."""
    models = _open(folder, weights, max_tokens="8")
    head, longer = models.embed(["a b c d e f", "a b c d e f g h i j k l m n"])
    np.testing.assert_allclose(head, longer, atol=1e-5)
    assert models.reward(["a " * 1_000], ["b " * 1_000]).shape == (1,)


def test_reward_is_the_logit_or_its_sigmoid(folder, weights):
    """`reward_activation` chooses; both orders agree, and batches change nothing."""
    logits = _open(folder, weights, reward_activation="none", batch_rows="2").reward(TEXTS, TEXTS[::-1])
    squashed = _open(folder, weights).reward(TEXTS, TEXTS[::-1])
    np.testing.assert_allclose(squashed, 1 / (1 + np.exp(-logits)), atol=1e-5)


def test_several_labels_give_the_probability_of_one(folder, weights):
    """With two labels the sigmoid of the log-odds is the softmax of the chosen label."""
    first = _open(folder, weights, reward_model=str(folder / "reward2"), reward_label="0").reward(
        TEXTS, TEXTS
    )
    last = _open(folder, weights, reward_model=str(folder / "reward2")).reward(TEXTS, TEXTS)
    np.testing.assert_allclose(first + last, 1.0, atol=1e-5)


def test_exchanges_are_scored_and_identified(folder, weights):
    """The pair scores exchanges like the shipped one, and the identity follows the weights."""
    models = _open(folder, weights)
    scores = models.score(["abc", "def"], ["ghi", None])
    assert np.isfinite(scores.reward[0])
    assert np.isnan(scores.reward[1])
    other = _open(folder, weights, reward_model=str(folder / "reward2"))
    assert models.identity == _open(folder, weights).identity != other.identity


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"reward_model": ""}, "`reward_model` is empty"),
        ({"reward_activation": "tanh"}, "`reward_activation` is 'tanh'"),
    ],
)
def test_wrong_parameters_are_named(folder, weights, parameters, message):
    """A missing model and a wrong activation are one line each."""
    with pytest.raises(ValueError, match=message):
        _open(folder, weights, **parameters)


def test_a_gpu_that_is_absent_is_named(folder, weights):
    """Asking for a GPU without one says so."""
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    chosen = {
        "family": "huggingface",
        "embedder_model": str(folder / "encoder"),
        "reward_model": str(folder / "reward1"),
    }
    with pytest.raises(ValueError, match="cuda:0"):
        open_models(chosen, weights, "cuda:0")
