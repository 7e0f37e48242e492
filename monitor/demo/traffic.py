"""The demo's traffic: two stand-in models, and customers who ask both through the proxy at a steady rate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

from monitor.demo.acts import ROUTES, SHOP_TOPICS, SUPPORT, SUPPORT_TOPICS, Act
from monitor.demo.customers import Topic, question
from monitor.demo.standin_model import Manner, answer
from monitor.traffic.openai_shapes import Answer
from monitor.traffic.replay import Plan, Sender, sender
from monitor.traffic.standin import StandIn

_CONCURRENCY = 64
# Every so many requests ask for a stream.
_STREAM_EVERY = 4
_TICK_S = 0.05
# What a small model might take to answer, in seconds.
_LATENCY_S = (0.02, 0.08)


class World:
    """What models and customers are like now; the acts change it."""

    def __init__(self, seed: int) -> None:
        self.support_manner = Manner.HELPFUL
        self.shop_topics: tuple[Topic, ...] = SHOP_TOPICS
        self.random = Random(seed)  # noqa: S311 a repeatable play, no secret

    def enter(self, act: Act) -> None:
        """Change as an act says."""
        self.support_manner = act.support_manner
        self.shop_topics = tuple(act.shop_topics)

    def ask(self, route: str) -> str:
        """Return what a customer of this route asks."""
        return question(SUPPORT_TOPICS if route == SUPPORT else self.shop_topics, self.random)

    def model(self, route: str) -> Callable[[str], Answer]:
        """Return the stand-in model of a route."""

        def answer_to(prompt: str) -> Answer:
            manner = self.support_manner if route == SUPPORT else Manner.HELPFUL
            delay_s = self.random.uniform(*_LATENCY_S)
            return Answer(answer(prompt, manner, self.random), delay_s=delay_s)

        return answer_to


@asynccontextmanager
async def models(world: World) -> AsyncIterator[dict[str, str]]:
    """Serve the stand-in models; give their base URLs by route."""
    servers = {route: StandIn(world.model(route)) for route in ROUTES}
    try:
        yield {route: await server.start("127.0.0.1", 0) for route, server in servers.items()}
    finally:
        for server in servers.values():
            await server.stop()


@asynccontextmanager
async def customers(world: World, base_url: str, per_second: float) -> AsyncIterator[Sender]:
    """Let customers ask as long as the block lasts; give what counts them."""
    async with sender(Plan(base_url, concurrency=_CONCURRENCY, timeout_s=30.0)) as out:
        asking = asyncio.create_task(_ask_on(world, out, per_second), name="customers")
        try:
            yield out
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)


async def _ask_on(world: World, out: Sender, per_second: float) -> None:
    """Start requests at the rate, at most so many at once; on the way out, wait for those that run."""
    loop, running = asyncio.get_running_loop(), set[asyncio.Task[None]]()
    began, asked = loop.time(), 0
    try:
        while True:
            due = int((loop.time() - began) * per_second)
            while asked < due and len(running) < _CONCURRENCY:
                route = ROUTES[asked % len(ROUTES)]
                # The route changes with each request: the odd factor lets both routes have streams.
                stream = (asked // len(ROUTES)) % _STREAM_EVERY == 0
                request = out.send(world.ask(route), model=f"{route}-ft", stream=stream)
                task = asyncio.create_task(request, name=f"customer {asked}")
                running.add(task)
                task.add_done_callback(running.discard)
                asked += 1
            await asyncio.sleep(_TICK_S)
    finally:
        await asyncio.gather(*running)
