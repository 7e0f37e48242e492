"""The fuzz command: it finds what breaks a law, and nothing else, the same for the same seed."""

from __future__ import annotations

import random

import pytest

from tests import fuzz
from tests.proxy import laws


def test_a_second_of_it_finds_nothing() -> None:
    """Ten minutes of it are in the documentation."""
    said: list[str] = []
    assert fuzz.run(1.0, 1, said.append) == 0
    assert said[0].startswith("no law broken")


def test_a_seed_gives_the_same_again() -> None:
    """What was found can be found again."""
    assert [fuzz.throw(random.Random(7)) for _ in range(3)] == [
        fuzz.throw(random.Random(7)) for _ in range(3)
    ]


def test_what_breaks_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the seed and the whole input, and exit status 1."""

    def broken(stream: bytes) -> None:
        assert b"\r" not in stream, "carriage return"

    monkeypatch.setattr(laws, "events_are_those_of_the_standard", broken)
    said: list[str] = []
    assert fuzz.run(5.0, 3, said.append) == 1
    assert "seed 3" in said[0]
    assert "Served(" in said[0]
