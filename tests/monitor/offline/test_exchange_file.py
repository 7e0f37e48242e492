"""Files of exchanges: what a line may say, what is skipped, and what makes a file unusable."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from monitor.contract import Exchange
from monitor.offline.exchange_file import (
    ExchangeFile,
    ExchangeFileError,
    Skipped,
    read_exchanges,
    write_exchanges,
)

DATA = Path(os.environ.get("DRIFTGATE_DATA", "../shared/data"))


def one(tmp_path: Path, **values: Any) -> Exchange:
    """Read the exchange of a file of one line with these keys."""
    path = tmp_path / "one.jsonl"
    path.write_text(json.dumps({"prompt": "why?", **values}))
    return read_exchanges(path)[0][0]


def test_a_line_is_an_exchange(tmp_path: Path):
    """The keys of a line are the fields of the exchange; unknown keys are kept out of the way."""
    found = one(
        tmp_path,
        id="a",
        time=12.5,
        response="because",
        route="support",
        model="m",
        arm="candidate",
        latency_s=0.5,
        finish_reason="stop",
        complete=False,
        reward=-1,
        label="good",
        annotator="ann",
        topic="x",
        version="7",
    )
    assert found == Exchange(
        id="a",
        time=12.5,
        prompt="why?",
        response="because",
        route="support",
        model="m",
        arm="candidate",
        latency_s=0.5,
        finish_reason="stop",
        complete=False,
        reward=-1.0,
        label="good",
        annotator="ann",
    )


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (1_700_000_000, 1_700_000_000.0),
        ("1700000000.5", 1_700_000_000.5),
        (1_700_000_000_000, 1_700_000_000.0),
        ("2023-11-14T22:13:20Z", 1_700_000_000.0),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000.0),
        ("2023-11-14 22:13:20.5000000", 1_700_000_000.5),
        ("2023-11-14", 1_699_920_000.0),
        ("2023-11", 1_698_796_800.0),
        ("2023", 1_672_531_200.0),
        ("last Tuesday", 0.0),
        (1e300, 0.0),
        (-5, 0.0),
        (True, 0.0),
        (None, 0.0),
        ([1], 0.0),
    ],
)
def test_times(tmp_path: Path, given: Any, seconds: float):
    """Epoch seconds or ISO 8601, UTC where no zone is given; anything else is no time."""
    assert one(tmp_path, time=given).time == seconds


def test_the_report_says_how_many_had_a_time(tmp_path: Path):
    """A backtest must know whether the file has times at all."""
    path = tmp_path / "f.jsonl"
    path.write_text('{"prompt": "a", "time": 5}\n\n{"prompt": "b"}\n{"prompt": "c", "time": "2024-01-01"}\n')
    _, report = read_exchanges(path)
    assert (report.lines, report.exchanges, report.timed, report.skipped) == (3, 3, 2, 0)


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("latency_s", "fast"),
        ("latency_s", -1),
        ("latency_s", float("inf")),
        ("reward", float("nan")),
        ("reward", {}),
        ("prompt_tokens", "many"),
        ("prompt_tokens", 1e300),
        ("complete", "maybe"),
        ("complete", None),
        ("model", ["m"]),
        ("arm", None),
        ("route", ""),
        ("tool_calls", "f"),
        ("response", 7),
        ("status", "ok"),
    ],
)
def test_a_wrong_optional_value_costs_only_itself(tmp_path: Path, key: str, wrong: Any):
    """The value is dropped and the exchange is as if the key had been absent."""
    assert one(tmp_path, **{"id": "a", key: wrong}) == one(tmp_path, id="a")


@pytest.mark.parametrize("reward", [10_000.1, -1e6, "1e9"])
def test_a_reward_beyond_what_sums_can_hold_is_refused(tmp_path: Path, reward: Any):
    """Silently wrong sums would be worse: the line is named, with what to do."""
    path = tmp_path / "f.jsonl"
    rows = [{"prompt": "a", "reward": 10_000}, {"prompt": "b", "reward": reward}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    kept, report = read_exchanges(path)
    assert [e.reward for e in kept] == [10_000.0]
    assert report.first_skipped is not None
    assert "divide all rewards by the same number" in report.first_skipped.reason


def test_numbers_written_as_text_count(tmp_path: Path):
    """Exports that quote their numbers are understood; labels and ids may be numbers."""
    found = one(tmp_path, id=7, latency_s="0.25", reward="1e-1", prompt_tokens="12", label=3)
    assert (found.id, found.latency_s, found.reward, found.prompt_tokens) == ("7", 0.25, 0.1, 12)
    assert found.label == "3"
    assert one(tmp_path, label=True).label == "true"


def test_messages_stand_for_the_prompt(tmp_path: Path):
    """The last user turn is the prompt, what came before is counted, and a final answer is the response."""
    turns = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": [{"type": "text", "text": "why?"}]},
    ]
    answer = {"role": "assistant", "content": "because"}
    with_answer = one(tmp_path, id="a", prompt=None, messages=[*turns, answer])
    apart = one(tmp_path, id="a", prompt=None, messages=turns, response="because")
    assert with_answer == apart
    assert (apart.prompt, apart.response, apart.turns) == ("why?", "because", 2)
    assert apart.system_id
    assert apart.context_chars == len("be brief" + "hello" + "hi" + "why?")
    kept = one(tmp_path, prompt=None, messages=[*turns, answer], response="other")
    assert kept.response == "other"


def test_a_prompt_that_is_a_list_is_messages(tmp_path: Path):
    """Some exports write the conversation under `prompt`."""
    assert one(tmp_path, prompt=[{"role": "user", "content": "hm"}]).prompt == "hm"


def test_missing_ids_are_made_the_same_way_each_time(tmp_path: Path):
    """Reading twice gives the same ids, and equal lines have different ones."""
    path = tmp_path / "f.jsonl"
    path.write_text('{"prompt": "a"}\n{"prompt": "a"}\n')
    first, second = read_exchanges(path)[0], read_exchanges(path)[0]
    assert first == second
    assert first[0].id != first[1].id


def test_users_are_reduced_to_hashes(tmp_path: Path):
    """A name is not kept, equal names stay equal, and a hash of ours survives export and import."""
    hashed = one(tmp_path, user="ann@example.org").user
    assert hashed is not None
    assert len(hashed) == 12
    assert one(tmp_path, user="ann@example.org").user == hashed == one(tmp_path, user=hashed).user


def test_bad_lines_are_reported_and_skipped(tmp_path: Path):
    """Each bad line is named with its number and reason; the good ones are read."""
    path = tmp_path / "f.jsonl"
    path.write_bytes(
        b"\n".join(
            [
                b'{"prompt": "one"}',
                b"{not json",
                b"",
                b"[1, 2]",
                b'{"response": "no prompt"}',
                b'{"prompt": 5}',
                b'{"prompt": "\xff"}',
                b'{"messages": [{"role": "system", "content": "x"}]}',
                b"[" * 100_000,
                b'{"prompt": "two"}',
            ]
        )
    )
    skipped: list[Skipped] = []
    exchanges, report = read_exchanges(path, on_skip=skipped.append)
    assert [x.prompt for x in exchanges] == ["one", "two"]
    assert [line.line for line in skipped] == [2, 4, 5, 6, 7, 8, 9]
    reasons = [line.reason for line in skipped]
    for reason, said in zip(
        reasons,
        [
            "not JSON",
            "a list",
            "got nothing",
            "got a number",
            "byte 13",
            "no text from the user",
            "too deeply",
        ],
        strict=True,
    ):
        assert said in reason
    assert (report.skipped, report.first_skipped) == (7, skipped[0])


def test_unpaired_surrogates_do_not_reach_the_bus(tmp_path: Path):
    """JSON can spell what UTF-8 cannot carry; it is replaced, and whole characters survive."""
    path = tmp_path / "f.jsonl"
    path.write_text('{"prompt": "a\\ud800b \\ud83d\\ude00", "response": "\\udfff"}')
    (found,), _ = read_exchanges(path)
    assert found.prompt == "a?b 😀"
    assert found.response == "?"


@pytest.mark.parametrize("name", ["f.jsonl", "f.jsonl.gz"])
def test_what_is_written_is_read(tmp_path: Path, name: str):
    """Export and import give equal exchanges, plain and packed, and no partial file stays."""
    exchanges = [
        Exchange(
            id=f"x{i}", time=1.5 + i, prompt="p\n", response=None if i % 2 else "é\u2028", tool_calls=("f",)
        )
        for i in range(50)
    ]
    assert write_exchanges(tmp_path / name, exchanges) == 50
    assert read_exchanges(tmp_path / name)[0] == exchanges
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_gzip_is_known_by_its_content(tmp_path: Path):
    """A packed file may have any name, and a byte order mark does not hurt."""
    path = tmp_path / "export.jsonl"
    path.write_bytes(gzip.compress(b'\xef\xbb\xbf{"prompt": "a"}\r\n'))
    assert read_exchanges(path)[0][0].prompt == "a"


def test_unusable_files_are_one_line_each(tmp_path: Path):
    """Missing, a directory, empty, cut gzip, UTF-16, and nothing but bad lines: one line that names the file."""
    packed = gzip.compress(b'{"prompt": "a"}\n' * 20_000)
    (tmp_path / "cut.gz").write_bytes(packed[: len(packed) // 2])
    (tmp_path / "wrong.gz").write_bytes(packed[:10] + b"nonsense" * 20)
    (tmp_path / "empty").touch()
    (tmp_path / "empty.gz").write_bytes(gzip.compress(b""))
    (tmp_path / "wide").write_text('{"prompt": "a"}', encoding="utf-16")
    (tmp_path / "latin").write_bytes('{"prompt": "é"}\n'.encode("latin-1"))
    for name, said in {
        "missing": "cannot be read (No such file",
        ".": "is a directory",
        "empty": "is empty",
        "empty.gz": "is empty",
        "cut.gz": "is a damaged gzip file after line",
        "wrong.gz": "is a damaged gzip file after line",
        "wide": "UTF-16",
        "latin": "line 1: not UTF-8 text (byte 13)",
    }.items():
        with pytest.raises(ExchangeFileError) as caught:
            read_exchanges(tmp_path / name)
        assert said in str(caught.value)
        assert str(tmp_path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path):
    """Exporting into a folder that is not there says so and leaves nothing behind."""
    with pytest.raises(ExchangeFileError, match="cannot be written"):
        write_exchanges(tmp_path / "no" / "f.jsonl", [])


def test_progress_grows_to_one(tmp_path: Path):
    """A progress bar can ask how far reading has come."""
    path = tmp_path / "f.jsonl"
    path.write_text('{"prompt": "a"}\n' * 20_000)
    file = ExchangeFile(path)
    assert file.fraction_read() == 0.0
    seen = [file.fraction_read() for _ in file]
    assert seen == sorted(seen)
    assert 0.0 < seen[0] < 1.0
    assert file.fraction_read() == 1.0


@pytest.mark.skipif(not DATA.is_dir(), reason=f"real data not found at {DATA} (DRIFTGATE_DATA)")
def test_real_files_are_read_whole():
    """Every line of a few real tables is an exchange, with times where the table has them."""
    for table, lines, timed in (
        ("llmdrift", 10_024, 10_024),
        ("bon_tulu16", 12_880, 0),
        ("commits_time", 3_347, 3_347),
    ):
        report = read_exchanges(DATA / f"{table}.jsonl.gz")[1]
        assert report == (lines, lines, timed, 0, None)
