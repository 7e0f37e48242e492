"""Sending recorded prompts through a proxy, as chat completions, at a rate or as fast as it goes.

Law of this file: an open loop: request k is due at k / rate, and late ones are sent at once, never skipped. Every
request ends counted exactly once, by its HTTP status or by the kind of failure.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import aiohttp
import msgspec

from monitor.contract import Exchange
from monitor.traffic.openai_shapes import MODEL


class Plan(NamedTuple):
    """How to send: to which base URL, requests a second (None: as fast as it goes), at most so many at once."""

    to: str
    rate: float | None = None
    concurrency: int = 32
    # Every n-th request asks for a stream; 0: none.
    stream_every: int = 0
    # Seconds that one request may take.
    timeout_s: float = 600.0
    # Model to ask for where the recording names none.
    model: str = MODEL


class Sent(NamedTuple):
    """What became of n requests."""

    requests: int
    statuses: dict[int, int]
    # Requests that got no whole answer, by the kind of failure.
    failures: dict[str, int]
    seconds: float
    # `Drift-Status` of the last answer that carried one.
    last_status: str = ""

    @property
    def answered(self) -> int:
        """Requests that got a whole answer, whatever its HTTP status."""
        return sum(self.statuses.values())

    @property
    def refused(self) -> int:
        """Answers with an HTTP status of 400 or more."""
        return sum(n for status, n in self.statuses.items() if status >= 400)

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds if self.seconds > 0 else 0.0


class Sender:
    """Sends requests over kept connections and counts how they end."""

    def __init__(self, session: aiohttp.ClientSession, plan: Plan) -> None:
        self._session = session
        self._plan = plan
        self._url = f"{plan.to.rstrip('/')}/chat/completions"
        self._statuses: Counter[int] = Counter()
        self._failures: Counter[str] = Counter()
        self._started = time.monotonic()
        self._last = ""

    async def send(self, prompt: str, *, model: str = "", stream: bool = False) -> None:
        """Send one prompt and read its answer to the end."""
        body = msgspec.json.encode(
            {
                "model": model or self._plan.model,
                "messages": [{"role": "user", "content": prompt}],
                **({"stream": True} if stream else {}),
            }
        )
        try:
            async with self._session.post(self._url, data=body, headers=_JSON) as response:
                await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._failures[type(error).__name__] += 1
            return
        self._statuses[response.status] += 1
        self._last = response.headers.get("Drift-Status", self._last)

    def so_far(self) -> Sent:
        """Return the counts up to now."""
        requests = self._statuses.total() + self._failures.total()
        seconds = time.monotonic() - self._started
        return Sent(requests, dict(self._statuses), dict(self._failures), seconds, self._last)


_JSON = {"content-type": "application/json"}


@asynccontextmanager
async def sender(plan: Plan) -> AsyncIterator[Sender]:
    """Open a sender; its connections close with the block."""
    timeout = aiohttp.ClientTimeout(total=plan.timeout_s)
    connector = aiohttp.TCPConnector(limit=plan.concurrency)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Sender(session, plan)


async def replay(exchanges: Sequence[Exchange], plan: Plan, on_sent: Callable[[Sent], None]) -> Sent:
    """Send every exchange's prompt; `on_sent` hears of the counts a few times a second."""
    async with sender(plan) as out:
        numbered = enumerate(exchanges)
        workers = [
            asyncio.create_task(_work(out, numbered, plan), name=f"replay {i}")
            for i in range(plan.concurrency)
        ]
        pending: set[asyncio.Task[None]] = set(workers)
        try:
            while pending:
                done, pending = await asyncio.wait(pending, timeout=0.2, return_when=asyncio.FIRST_EXCEPTION)
                for worker in done:
                    worker.result()
                on_sent(out.so_far())
        finally:
            for worker in workers:
                worker.cancel()
        return out.so_far()


async def _work(out: Sender, numbered: Iterator[tuple[int, Exchange]], plan: Plan) -> None:
    """Take the next exchange that nobody has taken, wait until it is due, send it; until none is left."""
    began = asyncio.get_running_loop().time()
    for index, exchange in numbered:
        if plan.rate:
            await asyncio.sleep(began + index / plan.rate - asyncio.get_running_loop().time())
        stream = plan.stream_every > 0 and index % plan.stream_every == 0
        await out.send(exchange.prompt, model=exchange.model, stream=stream)
