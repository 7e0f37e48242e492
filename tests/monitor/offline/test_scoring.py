"""Files are scored in batches, and a reward given in a file stands."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from monitor.contract import Exchange
from monitor.offline.scoring import read_file, score_all
from monitor.scorer import ScorerUnavailable
from monitor.scorer.fake import FakeScorer


def exchanges(n: int) -> list[Exchange]:
    """Make n exchanges with different texts."""
    return [Exchange(id=str(i), time=0.0, prompt=f"word{i} river", response=f"river {i}") for i in range(n)]


def test_batches_make_no_difference():
    """Six hundred exchanges, three batches: each row has its own scores, and progress is told."""
    told: list[tuple[int, int]] = []
    rows = exchanges(600)
    scored = score_all(rows, FakeScorer(), lambda done, of: told.append((done, of)))
    alone = FakeScorer().score([rows[599].prompt], [rows[599].response])
    assert np.array_equal(scored.prompt[599], alone.prompt[0])
    assert scored.reward[599] == alone.reward[0]
    assert told == [(256, 600), (512, 600), (600, 600)]


def test_a_reward_in_the_file_stands():
    """What people gave is not overwritten; the scorer fills the rest."""
    rows = exchanges(3)
    rows[1] = msgspec.structs.replace(rows[1], reward=7.0)
    scored = score_all(rows, FakeScorer())
    assert scored.reward[1] == 7.0
    assert scored.reward[0] == FakeScorer().score([rows[0].prompt], [rows[0].response]).reward[0]


def test_errors_keep_their_rows_across_batches():
    """The scorer's refusal of the 300th exchange is the 300th row's."""
    rows = exchanges(301)
    rows[300] = msgspec.structs.replace(rows[300], prompt="\x00refuse")
    assert score_all(rows, FakeScorer()).errors == {300: "refused"}


def test_an_unavailable_scorer_is_said():
    """No scores, no silent zeros."""
    scorer = FakeScorer()
    scorer.down = True
    with pytest.raises(ScorerUnavailable):
        score_all(exchanges(1), scorer)


def test_files_are_read_whole(tmp_path: Path):
    """Good lines become exchanges, bad ones are reported."""
    path = tmp_path / "e.jsonl"
    path.write_text('{"prompt": "a", "response": "b"}\nnonsense\n', encoding="utf-8")
    skipped: list[object] = []
    read, report = read_file(path, skipped.append)
    assert [e.prompt for e in read] == ["a"]
    assert len(skipped) == 1
    assert report is not None
