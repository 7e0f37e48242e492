"""What counting costs: CPU nanoseconds of one exchange's counters, histograms and clock readings.

    python benchmarks/proxy/counting.py

The forwarder's own function is called on a scoreboard in a file, as a worker has it; the loop's own cost is taken off.
CPU time of this process, the least of several rounds, so that a busy machine moves it little.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from proxy.forward import _Forwarding, count
from proxy.mirror import Clock
from proxy.scoreboard import Scoreboard

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


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        board = Scoreboard(Path(folder), "bench")
        rows = {
            "one reading of the clock": time.perf_counter,
            "counting an exchange": partial(count, exchange(board, streamed=False)),
            "counting a streamed one": partial(count, exchange(board, streamed=True)),
        }
        print("| | ns of CPU |\n|---|--:|")
        for name, call in rows.items():
            print(f"| {name} | {nanoseconds(call):.0f} |")
        board.close()


if __name__ == "__main__":
    main()
