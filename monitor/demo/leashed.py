"""`python -m monitor.demo.leashed COMMAND…`: become the command, and end when the process that started this ends.

On Linux, with prctl(2); elsewhere the command simply runs. The leash survives exec, but not a fork: what the command
starts needs one of its own.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 our own command line
