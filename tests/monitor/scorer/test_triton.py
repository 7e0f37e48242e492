"""TritonScorer against the real server."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest
from tritonclient import grpc as triton
from tritonclient.utils import InferenceServerException

from monitor.scorer import ScorerUnavailable
from monitor.scorer.local import LocalScorer
from monitor.scorer.open import SHIPPED
from monitor.scorer.triton import TritonScorer, split_rows
from monitor.triton.plan import Ports, plan
from monitor.triton.server import TritonServer

PROMPTS = [
    "How do I boil an egg?",
    "Grüße aus Köln",
    "",
    "lone \ud800 surrogate",
    "x" * 9_000,
    "我想问一个问题",
]
RESPONSES = ["Boil it for eight minutes.", None, "", "Fine.", "word " * 4_000, "好的 👍"]


@pytest.fixture
def scorer(triton_url):
    """Open a scorer on the shared server."""
    scorer = TritonScorer(triton_url, deadline_s=20.0)
    yield scorer
    scorer.close()


def test_triton_and_local_agree(scorer):
    """The server and this process give the same scores under the same identity."""
    local = LocalScorer(SHIPPED)
    here, there = local.score(PROMPTS, RESPONSES), scorer.score(PROMPTS, RESPONSES)
    np.testing.assert_allclose(there.prompt, here.prompt, atol=1e-5)
    np.testing.assert_allclose(there.response, here.response, atol=1e-5)
    np.testing.assert_allclose(there.reward, here.reward, atol=1e-4)
    assert scorer.identity == local.identity
    assert there.errors == here.errors == {}


def test_absent_response_has_no_reward_and_an_empty_one_has(scorer):
    """None is no response; an empty string is a response, and a bad one."""
    scores = scorer.score(["Why?", "Why?", "Why?"], [None, "", "Because light scatters on small particles."])
    assert np.isnan(scores.reward[0])
    assert scores.reward[1] < scores.reward[2]
    assert not scores.response[:2].any()


def test_a_batch_gives_the_rows_of_single_requests(triton_url):
    """However exchanges are cut into requests, each gets the same scores."""
    prompts = [f"Question number {i} about subject {i % 7}?" for i in range(150)]
    responses = [f"Answer {i}. " * (i % 9) for i in range(150)]
    one, many = TritonScorer(triton_url, batch=1), TritonScorer(triton_url, batch=64)
    a, b = one.score(prompts, responses), many.score(prompts, responses)
    np.testing.assert_array_equal(a.prompt, b.prompt)
    np.testing.assert_array_equal(a.response, b.response)
    np.testing.assert_array_equal(a.reward, b.reward)


def test_one_refused_exchange_fails_alone(scorer):
    """A text beyond the model's limit is an error of its exchange and of no other."""
    prompts = ["fine", "fine too", "x" * (17 * 1024 * 1024), "also fine"]
    scores = scorer.score(prompts, ["yes"] * 4)
    assert set(scores.errors) == {2}
    assert "max_text_bytes" in scores.errors[2]
    assert np.isnan(scores.reward[2])
    assert not scores.prompt[2].any()
    assert np.isfinite(scores.reward[[0, 1, 3]]).all()


def test_no_exchanges_need_no_rows(scorer):
    """Scoring nothing returns empty arrays of the right width."""
    scores = scorer.score([], [])
    assert scores.prompt.shape == (0, 256)
    assert scores.reward.shape == (0,)


def test_all_three_models_answer(triton_url):
    """`embedder` and `reward` give what `exchange_scorer` gives."""
    client = triton.InferenceServerClient(triton_url)
    texts = np.array([["What is rain?"], ["Water that falls."]], dtype=np.object_)
    both = TritonScorer(triton_url).score([texts[0, 0]], [texts[1, 0]])
    embedding = _infer(client, "embedder", {"TEXT": texts}, "EMBEDDING")
    np.testing.assert_array_equal(embedding, np.vstack([both.prompt, both.response]))
    reward = _infer(client, "reward", {"PROMPT": texts[:1], "RESPONSE": texts[1:]}, "REWARD")
    np.testing.assert_array_equal(reward.ravel(), both.reward)
    client.close()


def test_a_response_is_there_unless_said_otherwise(triton_url):
    """Without HAS_RESPONSE an empty RESPONSE is an empty answer, not an absent one."""
    client = triton.InferenceServerClient(triton_url)
    text, empty = np.array([["Why?"]], dtype=np.object_), np.array([[""]], dtype=np.object_)
    reward = _infer(client, "exchange_scorer", {"PROMPT": text, "RESPONSE": empty}, "REWARD")
    assert 0 < reward[0, 0] < 0.5
    client.close()


def test_bad_request_in_a_stack_fails_alone(triton_url):
    """Requests that Triton batches together succeed and fail separately; bytes that are no UTF-8 are replaced."""
    client = triton.InferenceServerClient(triton_url)
    done: list[tuple[int, object]] = []
    texts = [b"good", b"y" * (17 * 1024 * 1024), b"\xff\xfe bad bytes", b"good"]
    for number, text in enumerate(texts):
        tensor = triton.InferInput("TEXT", [1, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([[text]], dtype=np.object_))
        client.async_infer(
            "embedder", [tensor], lambda result, error, n=number: done.append((n, error or result))
        )
    _until(lambda: len(done) == len(texts))
    outcome = dict(done)
    assert isinstance(outcome.pop(1), InferenceServerException)
    assert all(
        np.linalg.norm(result.as_numpy("EMBEDDING")) == pytest.approx(1.0) for result in outcome.values()
    )
    client.close()


def test_killed_server_is_unavailable_and_comes_back(triton_installation, tmp_path, free_ports):
    """After kill -9 the scorer raises ScorerUnavailable, and scores again once the server is restarted."""
    own = plan(triton_installation, SHIPPED, Ports(*free_ports(3)), tmp_path, os.environ)
    server = TritonServer(own)
    server.wait_ready()
    scorer = TritonScorer(f"127.0.0.1:{own.ports.grpc}", deadline_s=5.0)
    before = scorer.score(["a"], ["b"])
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    with pytest.raises(ScorerUnavailable):
        scorer.score(["a"], ["b"])
    again = TritonServer(own)
    try:
        again.wait_ready()
        _until(lambda: _scores(scorer))
        np.testing.assert_array_equal(scorer.score(["a"], ["b"]).reward, before.reward)
    finally:
        again.stop()
        scorer.close()


def test_unreachable_server_is_unavailable(free_ports):
    """Nobody listening is ScorerUnavailable, for the identity too."""
    scorer = TritonScorer(f"127.0.0.1:{free_ports(1)[0]}", deadline_s=1.0)
    with pytest.raises(ScorerUnavailable):
        scorer.score(["a"], ["b"])
    with pytest.raises(ScorerUnavailable):
        _ = scorer.identity


def test_requests_are_bounded_in_rows_and_bytes():
    """A run ends at the row limit or before the byte limit; one row beyond it travels alone."""
    assert list(split_rows([1] * 5, most=2)) == [range(2), range(2, 4), range(4, 5)]
    assert list(split_rows([5, 5, 20, 1], most=9, most_bytes=10)) == [range(2), range(2, 3), range(3, 4)]
    assert list(split_rows([], most=3)) == []


def _infer(client, model, columns, output):
    inputs = []
    for name, column in columns.items():
        tensor = triton.InferInput(name, list(column.shape), "BYTES")
        tensor.set_data_from_numpy(column)
        inputs.append(tensor)
    return client.infer(model, inputs).as_numpy(output)


def _scores(scorer: TritonScorer) -> bool:
    try:
        scorer.score(["a"], ["b"])
    except ScorerUnavailable:
        return False
    return True


def _until(condition, deadline_s: float = 20.0) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "gave up waiting"
        time.sleep(0.02)
