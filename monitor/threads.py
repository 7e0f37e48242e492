"""One thread for linear algebra.

The matrices here are small; on a machine whose cores are busy, the threads of a BLAS spend their time waiting for each
other. Measured on two loaded cores, comparing two files of 805 exchanges: 8.3 s with two threads, 2.9 s with one.
"""

from __future__ import annotations

import scipy.linalg  # noqa: F401 - limits apply to the libraries that are loaded
from threadpoolctl import threadpool_limits


def use_one_thread() -> None:
    """Keep BLAS and OpenMP of this process to one thread from here on."""
    threadpool_limits(limits=1)
