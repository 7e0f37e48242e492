"""Reading the kernel's records of who ran when."""

from __future__ import annotations

from pathlib import Path

import pytest

PROXY = Path(__file__).parents[2] / "benchmarks" / "proxy"
# The serving thread is 10, the writer 11. The first turn waits 2 ms for the writer, the second not at all; what the
# writer does while nothing waits, and what runs on the other core, is nobody's loss.
RECORDS = """
 python 10 [000] 5.000000: syscalls:sys_enter_epoll_pwait: epfd: 0x4
 python 10 [000] 5.000010: sched:sched_switch: prev_comm=python prev_pid=10 ==> next_comm=python next_pid=11 next_prio=120
 wrk 20 [001] 5.003000: sched:sched_waking: comm=python pid=10 prio=120 target_cpu=000
 wrk 20 [001] 5.003500: sched:sched_switch: prev_comm=wrk prev_pid=20 ==> next_comm=swapper/1 next_pid=0 next_prio=120
 python 11 [000] 5.005000: sched:sched_switch: prev_comm=python prev_pid=11 ==> next_comm=python next_pid=10 next_prio=120
 python 10 [000] 5.005010: syscalls:sys_exit_epoll_pwait: 0x1
 python 10 [000] 5.005100: syscalls:sys_enter_epoll_pwait: epfd: 0x4
 python 10 [000] 5.005200: syscalls:sys_exit_epoll_pwait: 0x1
 python 10 [000] 5.010000: syscalls:sys_enter_epoll_pwait: epfd: 0x4
"""


def test_only_what_kept_the_serving_thread_waiting_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn counts the time for which the other thread had the core after the turn began."""
    monkeypatch.syspath_prepend(str(PROXY))
    import stalls  # noqa: PLC0415 - a script beside others, found only with its folder on the path

    found = stalls.read(RECORDS.splitlines(), serving=10, writer=11)
    assert found.turns == pytest.approx([2.0, 0.0], abs=1e-6)
    assert found.run_ms == pytest.approx(10.0)
    # A tenth of 10 ms is spent beyond the first millisecond of a stall of two.
    assert found.beyond(0.1) == pytest.approx(1.0, abs=1e-6)
