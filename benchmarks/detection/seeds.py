"""What is run over many seeds, on as many processes as are wanted.

Law: a seed's baseline and stream depend on nothing but the seed, so what is found does not depend on how many processes
find it; results come in the order of the tasks. Each process reads the data for itself, so whoever asks first scores it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from benchmarks.detection.pools import Data
from monitor.threads import use_one_thread

Task = TypeVar("Task")
Found = TypeVar("Found")


class Seeds:
    """Does a piece of work, a function of a module, for many tasks; in this process where `pool` is None."""

    def __init__(self, data: Data, pool: ProcessPoolExecutor | None = None) -> None:
        self.data = data
        self._pool = pool

    def over(self, work: Callable[[Data, Task], Found], tasks: Iterable[Task]) -> Iterator[Found]:
        """Yield what `work(data, task)` returns, in the order of the tasks."""
        if self._pool is None:
            return (work(self.data, task) for task in tasks)
        return self._pool.map(partial(_work, work, self.data.folder, self.data.cache), tasks)


@contextmanager
def seeds(data: Data, jobs: int) -> Iterator[Seeds]:
    """Work on `jobs` processes."""
    if jobs == 1:
        yield Seeds(data)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=use_one_thread) as pool:
        yield Seeds(data, pool)


def _work(work: Callable[[Data, Task], Found], folder: Path, cache: Path, task: Task) -> Found:
    return work(_opened(folder, cache), task)


@lru_cache(maxsize=1)
def _opened(folder: Path, cache: Path) -> Data:
    return Data(folder, cache)
