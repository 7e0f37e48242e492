"""What watching costs: CPU nanoseconds of one exchange's counters and histograms, and of its span where traces are made.

    python benchmarks/proxy/counting.py

The forwarder's own function is called on a scoreboard in a file, as a worker has it, and the tracer's on a chat of a
kilobyte; the span is made in the mirror's thread. The loop's own cost is taken off.
CPU time of this process, the least of several rounds, so that a busy machine moves it little.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from monitor.contract import Exchange
from proxy.capture import Budget, Capture
from proxy.forward import _Forwarding, count
from proxy.mirror import Clock
from proxy.redact import READY, Redactor
from proxy.scoreboard import Scoreboard
from proxy.tracing.spans import Describer, Target

CALLS, ROUNDS = 50_000, 7


def nanoseconds(call: Callable[[], object]) -> float:
    """CPU time of a call, less that of a loop that calls nothing."""

    def once(what: Callable[[], object]) -> float:
        began = time.process_time_ns()
        for _ in range(CALLS):
            what()
        return (time.process_time_ns() - began) / CALLS

    return min(once(call) for _ in range(ROUNDS)) - min(once(int) for _ in range(ROUNDS))


def exchange(board: Scoreboard, *, streamed: bool) -> _Forwarding:
    """Return an exchange that has come to its end, as far as counting looks at it."""
    ended: Any = object.__new__(_Forwarding)
    ended.site = SimpleNamespace(board=board, mirror=SimpleNamespace(clock=Clock()))
    ended.request = SimpleNamespace(choice=SimpleNamespace(route="default"))
    ended.status, ended.began = 200, time.perf_counter() - 0.3
    ended.asked, ended.answered, ended.added = ended.began + 0.0001, ended.began + 0.2, 0.0002
    ended.first = ended.began + 0.21 if streamed else 0.0
    return ended  # type: ignore[no-any-return]


def described() -> Callable[[], object]:
    """Return the describing of an exchange with a caller's trace."""
    request = b'{"model":"m","messages":[{"role":"user","content":"%s"}]}' % (b"word " * 200)
    capture = Capture("x", 1.0, 1.0, Budget(2**30), 2**30, "chat.completions")
    capture.keep_request(request)
    capture.traceparent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    facts: dict[str, Any] = {"model": "m-1", "response": "fine", "finish_reason": "stop", "latency_s": 0.5}
    ended = Exchange(id="x", time=1.0, prompt="", prompt_tokens=9, response_tokens=9, **facts)
    target = Target("openai", "model.example", 443, "")
    redact, chance = Redactor(tuple(READY), {}), random.SystemRandom()
    describe = Describer({"default": target}, redact, share=1.0, max_decoded=2**20, chance=chance)
    return partial(describe, capture, ended)


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        board = Scoreboard(Path(folder), "bench")
        rows: dict[str, Callable[[], object]] = {
            "one reading of the clock": time.perf_counter,
            "counting an exchange": partial(count, exchange(board, streamed=False), time.perf_counter()),
            "counting a streamed one": partial(count, exchange(board, streamed=True), time.perf_counter()),
        }
        rows["describing a span"] = described()
        print("| | ns of CPU |\n|---|--:|")
        for name, call in rows.items():
            print(f"| {name} | {nanoseconds(call):.0f} |")
        board.close()


if __name__ == "__main__":
    main()
