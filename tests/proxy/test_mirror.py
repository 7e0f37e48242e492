"""The mirror under every kind of trouble: bounds, sampling, a bus that fails or hangs; the counts always add up."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from monitor.bus import BusError
from monitor.bus.memory import MemoryBus
from monitor.contract.config import Mirror as MirrorConfig
from proxy.capture import CAPTURE_OVERHEAD, Budget, Capture, ExchangeIds
from proxy.mirror import Clock, Mirror, sampled
from proxy.scoreboard import Scoreboard
from tests.proxy.conftest import HungBus, Start
from tests.proxy.wire import answer, read_message, until

CHAT = b'{"model":"m","messages":[{"role":"user","content":"hello a@example.org"}]}'
DONE = b'{"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]}'


async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request well."""
    while True:
        await read_message(reader)
        writer.write(answer(DONE))


class FlakyBus(MemoryBus):
    """A bus that fails a few times before it works."""

    failures = 3

    def publish(self, *args: object) -> int:
        """Fail, or publish."""
        if self.failures:
            self.failures -= 1
            raise BusError("database is locked")
        return super().publish(*args)  # type: ignore[arg-type]


async def test_exchanges_arrive_redacted_and_without_credentials(stand: Start) -> None:
    """The whole way from a request to the bus."""
    async with stand(upstream) as running:
        await running.post(CHAT, b"/v1/chat/completions", b"authorization: Bearer sk-secret-key-123456")
        (exchange,) = await running.exchanges()
        assert (exchange.prompt, exchange.response, exchange.route) == ("hello [email]", "hi", "default")
        assert exchange.user
        assert "sk-secret" not in str(exchange)
        assert running.counters()["mirrored"] == 1


async def test_opt_out_sampling_and_off(stand: Start) -> None:
    """What is not to be mirrored is counted by its reason."""
    async with stand(upstream) as running:
        await running.post(CHAT, b"/v1/chat/completions", b"drift-mirror: ?0")
        assert running.counters()["dropped.opted_out"] == 1
    async with stand(upstream, mirror__sample=0.0) as running:
        await running.post(CHAT)
        assert running.counters()["dropped.sampled_out"] == 1
    async with stand(upstream, mirror__enabled=False) as running:
        await running.post(CHAT)
        assert running.counters()["dropped.mirror_off"] == 1


async def test_a_failing_bus_is_tried_again(stand: Start) -> None:
    """Errors cost time, not exchanges."""
    bus = FlakyBus()
    async with stand(upstream, bus=lambda: bus) as running:
        running.bus = bus
        await running.post(CHAT)
        assert len(await running.exchanges()) == 1
        counters = running.counters()
        assert (counters["bus_retries"], counters["mirrored"]) == (3, 1)


async def test_a_hung_bus_hurts_nobody(stand: Start) -> None:
    """Clients are served at once; what no longer fits is dropped and counted; memory is bounded."""
    limit = 20 * (CAPTURE_OVERHEAD + 300)
    async with stand(upstream, bus=HungBus, mirror__queue_bytes=limit) as running:
        began = time.monotonic()
        for _ in range(60):
            assert (await running.post(CHAT)).body == DONE
        assert time.monotonic() - began < 5.0
        await until(lambda: running.counters()["ended"] == 60)
        total = running.board.counters()
        assert total["dropped.queue_full"] > 30
        assert total["received"] == total.dropped + total.pending
        assert running.mirror.budget.used <= limit
        # Leave the hung thread behind as a worker does when its patience ends.
        running.writer.stop = lambda _: False  # type: ignore[method-assign]


async def test_a_dead_bus_at_shutdown_is_counted(stand: Start) -> None:
    """What cannot be flushed is dropped under `bus_error`, and the counts add up."""

    class DeadBus(MemoryBus):
        def publish(self, *_: object) -> int:
            raise BusError("disk full")

    async with stand(upstream, bus=DeadBus) as running:
        for _ in range(3):
            await running.post(CHAT)
        await asyncio.to_thread(running.writer.stop, 0.5)
        total = running.board.counters()
        assert (total["received"], total["dropped.bus_error"], total.pending) == (3, 3, 0)
        assert running.mirror.budget.used == 0


def test_what_cannot_be_assembled_costs_only_itself(tmp_path: Path) -> None:
    """A bug in assembling is counted as `internal`."""
    from proxy.mirror import MirrorWriter  # noqa: PLC0415 - the one test that builds a writer by hand

    board, bus = Scoreboard(tmp_path, "p"), MemoryBus()
    mirror = Mirror(MirrorConfig(), board, b"salt", Clock())

    def assemble(_: Capture) -> object:
        raise RuntimeError("a bug")

    writer = MirrorWriter(mirror, board, assemble, lambda: bus, 0.01)  # type: ignore[arg-type]
    for _ in range(2):
        capture = mirror.begin(mirror.new_id(1.0), 1.0, 1.0, "completions", [])
        assert capture is not None
        mirror.offer(capture, 1.5)
    writer.start()
    assert writer.stop(2.0)
    assert board.counters()["dropped.internal"] == 2
    assert mirror.budget.used == 0
    board.close()


def test_captures_stay_within_their_bounds() -> None:
    """Too large a body, too small a budget: everything is let go, and given back."""
    budget = Budget(10_000)
    large = Capture("a", 0.0, 0.0, budget, 100)
    large.keep_request(b"x" * 101)
    assert (large.drop, large.request, budget.used) == ("too_large", [], 0)
    full = Capture("b", 0.0, 0.0, budget, 10**6)
    full.keep_response(b"x" * 9_999, lambda: 1.0)
    assert (full.drop, budget.used, full.first_byte) == ("queue_full", 0, 1.0)


def test_ids_grow_with_time_and_never_repeat() -> None:
    """Sorted as text they are sorted by time; two processes differ."""
    ids, others = ExchangeIds(), ExchangeIds()
    made = [ids.next(1000.0 + i / 1000) for i in range(1000)]
    assert made == sorted(made)
    assert len(set(made) | {others.next(1000.0)}) == 1001


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_sampling_takes_its_share(share: float) -> None:
    """The hash of the id decides, close to the share that was asked for."""
    ids = ExchangeIds(7)
    taken = sum(sampled(ids.next(0.0), int(share * 2**64)) for _ in range(4000))
    assert abs(taken / 4000 - share) < 0.03
