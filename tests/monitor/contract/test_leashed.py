"""A leashed process is the command and nothing else, and it ends with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from monitor.contract.leashed import leashed

# Starts a leashed child that says who it is and sleeps; then sleeps itself.
PARENT = """
import subprocess, sys, time
from monitor.contract.leashed import leashed
child = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
subprocess.Popen(leashed([sys.executable, "-c", child]))
time.sleep(60)
"""


def test_it_is_the_command():
    """Process id, arguments, output and exit status are the command's own."""
    code = "import os, sys; print(os.getpid(), *sys.argv[1:]); sys.exit(3)"
    command = leashed([sys.executable, "-c", code, "a b", "-x"])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.communicate(timeout=30)[0] == f"{process.pid} a b -x\n"
    assert process.returncode == 3


def test_a_command_that_cannot_run_is_one_line():
    """What cannot be started ends with status 127, the path and the reason."""
    done = _run(leashed(["/nowhere/at/all"]))
    assert done.returncode == 127
    assert done.stderr == "/nowhere/at/all cannot be started: No such file or directory\n"


def test_sighup_is_ignored_until_the_command_says_otherwise():
    """However SIGHUP was set or blocked for the parent, the command finds it ignored and not blocked."""
    code = (
        "import signal; print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, "
        "signal.SIGHUP in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    )
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    try:
        done = _run(leashed([sys.executable, "-c", code]))
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
    assert done.stdout == "True False\n"


def test_nothing_else_is_inherited():
    """Environment and ignored signals are those of a process without a leash, but for SIGHUP."""
    show = ["/bin/sh", "-c", "env; grep SigIgn /proc/self/status"]
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    free, held = (
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        for command in (show, leashed(show))
    )
    hangup = f"{int(free.split()[-1], 16) | 1 << signal.SIGHUP - 1:016x}"
    assert held == free.replace(free.split()[-1], hangup)


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_it_dies_with_its_parent():
    """Even when the parent is killed with SIGKILL."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert _alive(pid)
        parent.kill()
        parent.wait()
    end = time.monotonic() + 10
    while _alive(pid):
        assert time.monotonic() < end, "it outlives its parent"
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_a_parent_that_is_gone_already_starts_nothing():
    """A parent that ended before the kernel was asked is noticed too."""
    command = leashed([sys.executable, "-c", "print('it runs')"])
    command[command.index(str(os.getpid()))] = "1"
    done = _run(command)
    assert (done.returncode, done.stdout) == (127, "")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
