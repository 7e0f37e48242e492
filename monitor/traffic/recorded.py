"""Recorded answers: from a file of exchanges to what a stand-in says."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from monitor.contract import Exchange
from monitor.traffic.openai_shapes import Answer, Answers


def recorded_answers(exchanges: Iterable[Exchange]) -> tuple[Answers, int]:
    """Answer each prompt with its recorded responses, in turn and from the start again; and how many there are.

    An exchange without a response is left out; its prompt then has no answer.
    """
    by_prompt: dict[str, deque[Answer]] = {}
    known = 0
    for exchange in exchanges:
        if exchange.response is not None:
            answer = Answer(exchange.response, exchange.finish_reason or "stop")
            by_prompt.setdefault(exchange.prompt, deque()).append(answer)
            known += 1

    def answer_to(prompt: str) -> Answer | None:
        turns = by_prompt.get(prompt)
        if turns is None:
            return None
        turns.rotate(-1)
        return turns[-1]

    return answer_to, known
