"""Starting a process that ends when the process that started it ends, however that ends.

Law of this file: `leashed(command)` is the command line of a small program, this file, that asks the kernel for
SIGTERM at its parent's death (prctl(2), Linux; elsewhere there is no leash) and then becomes the command. The leash
survives exec, but not a fork: what the command starts needs one of its own.

It is a program and not code between fork and exec, because other threads may hold any lock at a fork: gRPC's, for one,
which then waits for ever (https://github.com/grpc/grpc/issues/43055). Without such code the interpreter starts
processes by vfork(2), and no handler of any library runs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
_NOT_FOUND = 127


def leashed(command: Sequence[str]) -> list[str]:
    """Return the command line that runs `command`, its first word a path, as a process that dies with the caller."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def _become(parent: int, command: list[str]) -> str:
    """Become the command; return why that cannot be. SIGHUP stays ignored until the command says otherwise."""
    # The interpreter ignores these, and a command would inherit that.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        return "the process that started it is gone"  # it went before the kernel was asked
    try:
        os.execv(command[0], command)  # noqa: S606 - our own command line
    except OSError as error:
        return error.strerror or str(error)


if __name__ == "__main__":
    sys.stderr.write(f"{sys.argv[2]} cannot be started: {_become(int(sys.argv[1]), sys.argv[2:])}\n")
    sys.exit(_NOT_FOUND)
